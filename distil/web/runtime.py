"""What the page of `distil demo` runs on: ONNX Runtime and the tokenizer in JavaScript, from the npm registry.

Versions and checksums are those of npm/package-lock.json. `npm ci` fetches them once, into the user's cache folder.
"""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from distil.core.errors import UserError, cut
from distil.core.files import atomic_folder, sha256_file

NPM = Path(__file__).parent / "npm"
# Name in the demo -> file in node_modules.
FILES = {
    "ort.js": "onnxruntime-web/dist/ort.wasm.bundle.min.mjs",
    "ort.wasm": "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
    "tokenizers.js": "@huggingface/tokenizers/dist/tokenizers.min.mjs",
    "tokenizers-licence.txt": "@huggingface/tokenizers/LICENSE",
}


def versions() -> dict[str, str]:
    """Package -> version."""
    found: dict[str, str] = json.loads((NPM / "package.json").read_text(encoding="utf-8"))["dependencies"]
    return found


def copy_runtime(modules: Path | None, out: Path) -> None:
    """Write the runtime's files into `out`.

    Args:
        modules: a node_modules folder with both packages; None: those that npm brings.
        out: a new folder.

    Raises:
        UserError: a package is missing, is of another version, or npm cannot bring it.
    """
    source = fetched() if modules is None else None
    if modules is not None:
        check_modules(modules)
    out.mkdir(parents=True)
    for name, file in FILES.items():
        shutil.copyfile(source / name if source else modules / file, out / name)  # type: ignore[operator]


def check_modules(modules: Path) -> None:
    """See that a node_modules folder has what the page needs.

    Raises:
        UserError: names the first package that it lacks.
    """
    for package, version in versions().items():
        path = modules / package / "package.json"
        try:
            found = str(json.loads(path.read_text(encoding="utf-8")).get("version"))
        except (OSError, ValueError):
            found = "no such package"
        lacking = [file for file in FILES.values() if file.startswith(package) and not (modules / file).is_file()]
        if found == version and lacking:
            found = f"no {lacking[0]}"
        if found != version:
            raise UserError(
                f"--runtime: {modules}: expected {package} {version}, found {found}; run `npm install {packages()}` "
                "and give its folder node_modules"
            )


def packages() -> str:
    """The packages as npm takes them."""
    return " ".join(f"{name}@{version}" for name, version in versions().items())


def fetched() -> Path:
    """The folder with FILES in the user's cache, filled by npm on the first use.

    Raises:
        UserError: npm is not installed, or fails.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = cache / "distil" / f"demo-{sha256_file(NPM / 'package-lock.json')[:12]}"
    if all((kept / name).is_file() for name in FILES):
        return kept
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(
            "the page runs on two npm packages, and npm is not installed here; install Node.js, or run `npm install "
            f"{packages()}` elsewhere and give its folder node_modules as --runtime"
        )
    with tempfile.TemporaryDirectory() as name:
        for file in ("package.json", "package-lock.json"):
            shutil.copyfile(NPM / file, Path(name) / file)
        done = subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=name, capture_output=True, text=True
        )
        if done.returncode:
            said = next((line for line in done.stderr.splitlines() if "npm error" in line), "no message")
            raise UserError(
                f"npm could not fetch {packages()} ({cut(said)}); see to the network, or run `npm install` elsewhere "
                "and give its folder node_modules as --runtime"
            )
        with atomic_folder(kept) as folder:
            for target, file in FILES.items():
                shutil.copyfile(Path(name) / "node_modules" / file, folder / target)
    return kept
