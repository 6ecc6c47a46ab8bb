"""The six control-plane binaries without a download site.

Debian 12 carries the complete source of Kubernetes 1.20.2 (source package kubernetes) and etcd 3.4.23
(packages etcd-server and etcd-client). Both come through apt, so their signatures are verified. Go comes out
of Debian's own packages too, unpacked beside the source: nothing of it is installed on the machine.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kubenorn.errors import InputWrongError
from lab.apt import PrivateApt
from lab.progress import Steps
from lab.tools import built_folder, cache_folder, install_missing_packages, locked, run

KUBERNETES_VERSION = "1.20.2"
ETCD_VERSION = "3.4.23"
GO = "1.19"
BUILT = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
ETCD = ("etcd", "etcdctl")
ALL = (*BUILT, *ETCD)

RECIPE = 2
"""Counted up when the build changes, so that what an older one made is not used."""

PACKAGE = "k8s.io/kubernetes"
# Kubernetes 1.20 vendors reflect2 1.0.1, which corrupts memory under Go 1.18 and newer when JSON maps are
# walked (modern-go/reflect2 pull request 24): kube-apiserver then panics on every other POST. Debian's own
# package of reflect2 is 1.0.2.
REFLECT2_PACKAGE = "golang-github-modern-go-reflect2-dev"
REFLECT2 = Path("github.com/modern-go/reflect2")
# Both are needed: with the first alone the server reports v0.0.0-master.
VERSION_PACKAGES = (
    f"{PACKAGE}/vendor/k8s.io/component-base/version",
    f"{PACKAGE}/vendor/k8s.io/client-go/pkg/version",
)
OPENAPI_TAG = "+k8s:openapi-gen="
# Parts of a path whose packages Kubernetes' own build leaves out of the OpenAPI definitions.
OPENAPI_LEFT_OUT = frozenset(
    {"test", "testdata", "testing", "_output", "sample-apiserver", "sample-controller"}
)


def binaries_folder() -> Path:
    """Return where the built binaries are, whether they are built yet or not."""
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    name = f"v{KUBERNETES_VERSION}-etcd-{ETCD_VERSION}-{architecture}-{RECIPE}"
    return cache_folder() / "binaries" / name


def binaries(steps: Steps) -> Path:
    """Return a folder with the six binaries and SHA256SUMS, building it first (about 5 minutes) if needed.

    The environment's KUBENORN_RELEASE_FOLDER names a folder to use as it is instead.
    Raises InputWrongError if that folder is incomplete.
    """
    if named := os.environ.get("KUBENORN_RELEASE_FOLDER"):
        return checked_release(Path(named).expanduser().absolute())
    folder = binaries_folder()
    if (folder / "SHA256SUMS").exists():
        return folder
    with locked(
        folder.with_name(f".{folder.name}.lock"),
        waiting=lambda: steps.say("Binaries: somebody else builds them already; waiting for that"),
    ):
        if not (folder / "SHA256SUMS").exists():
            with steps.step("Binaries: built") as show, built_folder(folder) as building:
                _build(building, lambda text: show(f"Binaries: {text}"), steps.say)
    return folder


def checked_release(folder: Path) -> Path:
    """Return folder if it holds all binaries and their SHA256SUMS. Raises InputWrongError if not."""
    missing = [name for name in (*ALL, "SHA256SUMS") if not (folder / name).is_file()]
    if missing == ["SHA256SUMS"]:
        raise InputWrongError(
            f"KUBENORN_RELEASE_FOLDER {folder} has no SHA256SUMS: "
            f"after checking where the files came from, run `sha256sum {' '.join(ALL)} > SHA256SUMS` in it."
        )
    if missing:
        raise InputWrongError(
            f"KUBENORN_RELEASE_FOLDER {folder} lacks {', '.join(missing)}: "
            "put them there or unset the variable."
        )
    return folder


@dataclass(frozen=True)
class Versions:
    """The versions of a set of binaries, without a leading v."""

    kubernetes: str
    etcd: str


BUILT_VERSIONS = Versions(KUBERNETES_VERSION, ETCD_VERSION)


def versions(folder: Path) -> Versions:
    """Return the versions kube-apiserver and etcd in folder report of themselves.

    Raises InputWrongError when one does not tell.
    """
    found = []
    for binary in ("kube-apiserver", "etcd"):
        answer = run([folder / binary, "--version"], timeout=30).stdout
        version = re.search(r"(?:Kubernetes v|etcd Version: )(\d+\.\d+\.\d+\S*)", answer)
        if not version:
            raise InputWrongError(
                f"{folder / binary} does not tell its version: replace it by a released one."
            )
        found.append(version[1])
    return Versions(*found)


def _build(folder: Path, show: Callable[[str], None], say: Callable[[str], None]) -> None:
    install_missing_packages(
        ["dpkg-dev", "debian-archive-keyring", "xz-utils", "patch", "ca-certificates"], say
    )
    # Beside the result, not in /tmp, which is often small and in memory; and by a name that the next build
    # clears away should this one be killed.
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}-", dir=folder.parent) as name:
        work = Path(name)
        apt = PrivateApt(work / "apt")
        show("fetching Debian's package lists")
        apt.update()
        show(f"fetching Go {GO} and etcd {ETCD_VERSION}")
        packages = [f"golang-{GO}-go", f"golang-{GO}-src", REFLECT2_PACKAGE, "etcd-server", "etcd-client"]
        apt.unpack(packages, work / "root")
        for binary in ETCD:
            shutil.copy2(work / "root" / "usr" / "bin" / binary, folder / binary)
        show(f"fetching the source of Kubernetes {KUBERNETES_VERSION}")
        dsc = apt.source("kubernetes", work / "source")
        show("unpacking the source")
        tree = work / "go" / "src" / "k8s.io" / "kubernetes"
        tree.parent.mkdir(parents=True)
        run(["dpkg-source", "--no-check", "-x", dsc, tree])
        _replace_reflect2(tree, work / "root" / "usr" / "share" / "gocode" / "src" / REFLECT2)
        toolchain = _Toolchain(work, tree)
        show("generating the OpenAPI definitions")
        toolchain.generate_openapi()
        for number, binary in enumerate(BUILT, 1):
            show(f"compiling {binary} ({number} of {len(BUILT)})")
            toolchain.compile(binary, folder)
        show("checking what was built")
        _check(folder)
    for binary in ALL:
        (folder / binary).chmod(0o755)
    (folder / "SHA256SUMS").write_text(sha256_sums(folder))


def _replace_reflect2(tree: Path, newer: Path) -> None:
    vendored = tree / "vendor" / REFLECT2
    shutil.rmtree(vendored)
    shutil.copytree(newer, vendored)


class _Toolchain:
    """Go in GOPATH mode over the unpacked source (module mode fails: "updates to go.mod needed")."""

    def __init__(self, work: Path, tree: Path) -> None:
        self.tree = tree
        self.tools = work / "tools"
        goroot = work / "root" / "usr" / "lib" / f"go-{GO}"
        self.go = goroot / "bin" / "go"
        self.environment = {
            "GOROOT": str(goroot),
            "GOPATH": str(work / "go"),
            "GOCACHE": str(work / "go-cache"),
            "GO111MODULE": "off",
            "GOFLAGS": "",
            "CGO_ENABLED": "0",
            # The generator asks `go` itself for packages.
            "PATH": f"{goroot / 'bin'}:{os.environ.get('PATH', '')}",
        }

    def generate_openapi(self) -> None:
        generator = f"{PACKAGE}/vendor/k8s.io/kube-openapi/cmd/openapi-gen"
        self._go("build", "-o", f"{self.tools}/", generator)
        packages = openapi_packages(self.tree)
        target = f"{PACKAGE}/pkg/generated/openapi"
        header = self.tree / "hack" / "boilerplate" / "boilerplate.generatego.txt"
        command: list[str | Path] = [
            self.tools / "openapi-gen",
            "-O",
            "zz_generated.openapi",
            "-p",
            target,
            "-h",
            header,
        ]
        command += ["-r", "/dev/null", "-i", ",".join(packages)]
        run(command, env=self.environment, cwd=self.tree)

    def compile(self, binary: str, into: Path) -> None:
        flags = ["-s", "-w"]
        major, minor, _ = KUBERNETES_VERSION.split(".")
        for package in VERSION_PACKAGES:
            flags += ["-X", f"{package}.gitVersion=v{KUBERNETES_VERSION}"]
            flags += ["-X", f"{package}.gitMajor={major}", "-X", f"{package}.gitMinor={minor}"]
        self._go(
            "build", "-trimpath", "-ldflags", " ".join(flags), "-o", f"{into}/", f"{PACKAGE}/cmd/{binary}"
        )

    def _go(self, *arguments: str) -> None:
        self.tools.mkdir(exist_ok=True)
        run([self.go, *arguments], env=self.environment, cwd=self.tree, timeout=3600)


def openapi_packages(tree: Path) -> list[str]:
    """Return the import paths of all packages below tree that ask for OpenAPI definitions, sorted.

    Staging packages are named by their place under vendor/, as the API server imports them.
    """
    folders = {
        file.parent.relative_to(tree)
        for top in ("pkg", "staging", "cmd", "plugin")
        for file in (tree / top).rglob("*.go")
        if not OPENAPI_LEFT_OUT & set(file.relative_to(tree).parts)
        and any(
            line.lstrip().startswith("//") and OPENAPI_TAG in line
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
        )
    }
    names = []
    for folder in folders:
        path = folder.as_posix().replace("staging/src/", "vendor/", 1)
        names.append(f"{PACKAGE}/{path}")
    return sorted(names)


def _check(folder: Path) -> None:
    built = versions(folder)
    if built != BUILT_VERSIONS:
        raise InputWrongError(
            f"Debian's archive now carries {built}, not {BUILT_VERSIONS}: change the versions in lab/binaries.py."
        )


def sha256_sums(folder: Path) -> str:
    """Return the text of a SHA256SUMS file for the six binaries in folder."""
    lines = []
    for name in sorted(ALL):
        with (folder / name).open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    return "".join(lines)
