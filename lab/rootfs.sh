#!/bin/sh
# Runs once inside the new root file system (chroot): what every lab host has in common.
# What differs between hosts (names, addresses, keys) is written by lab/host.py when a host is made.
set -eu
export DEBIAN_FRONTEND=noninteractive

# A lab host has no way out: the lists stay here, and so do all packages debootstrap fetched, so that
# `apt-get purge haproxy && apt-get install haproxy` works on it. Downloads what should be missing.
apt-get update -q
dpkg-query -W -f '${Package}\n' | xargs apt-get install -q -y --download-only --reinstall
# What they recommend is not installed, yet a plain `apt-get install keepalived` asks for it.
apt-cache depends haproxy keepalived | sed -n 's/^ *Recommends: \([a-z].*\)/\1/p' |
    xargs apt-get install -q -y --download-only
cat >/etc/apt/apt.conf.d/90lab <<'CONF'
// No network here: fail at once instead of trying for minutes, and keep the packages that are in the cache.
Acquire::Retries "0";
Acquire::http::Timeout "2";
Acquire::https::Timeout "2";
APT::Keep-Downloaded-Packages "true";
CONF
# No resolver: a name that is asked for fails at once.
rm -f /etc/resolv.conf
: >/etc/resolv.conf

# Bare hosts run neither.
systemctl disable haproxy.service keepalived.service
systemctl enable systemd-networkd.service ssh.service

# What makes no sense, or fails, in a container that shares the machine's kernel, clock and disks.
systemctl mask \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer man-db.timer systemd-tmpfiles-clean.timer \
    console-getty.service container-getty@.service getty.target getty@.service serial-getty@.service \
    systemd-logind.service systemd-pstore.service systemd-hwdb-update.service systemd-udevd.service \
    systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
    systemd-modules-load.service systemd-remount-fs.service dev-hugepages.mount dev-mqueue.mount \
    sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    proc-sys-fs-binfmt_misc.automount systemd-binfmt.service systemd-ask-password-console.path \
    systemd-ask-password-wall.path systemd-networkd-persistent-storage.service systemd-resolved.service \
    2>/dev/null

mkdir -p /etc/systemd/journald.conf.d /etc/ssh/sshd_config.d
cat >/etc/systemd/journald.conf.d/lab.conf <<'CONF'
[Journal]
Storage=volatile
RuntimeMaxUse=64M
CONF
# MaxStartups: many runs at once must not be thrown out at random. UseDNS: nobody answers here.
cat >/etc/ssh/sshd_config.d/lab.conf <<'CONF'
MaxStartups 100:30:200
UseDNS no
PermitRootLogin prohibit-password
PasswordAuthentication no
Match User asks
    PasswordAuthentication yes
CONF

# For tests: ops may sudo without a password, asks must type one, nosudo may not sudo at all.
for user in ops asks nosudo; do
    useradd --create-home --shell /bin/bash --password '*' "$user"
done
echo 'asks:lab-only' | chpasswd
echo 'ops ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/ops
echo 'asks ALL=(ALL:ALL) ALL' >/etc/sudoers.d/asks
chmod 0440 /etc/sudoers.d/ops /etc/sudoers.d/asks

# Every host gets its own.
rm -f /etc/ssh/ssh_host_* /etc/machine-id /var/lib/dbus/machine-id /etc/hostname
: >/etc/machine-id
rm -rf /var/log/journal
