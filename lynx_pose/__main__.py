"""All commands under one name: lynx-pose COMMAND, or python -m lynx_pose COMMAND."""

import sys
from importlib import import_module

from lynx_pose import __version__
from lynx_pose.completion import SCRIPTS, completion_script

COMMANDS = {
    "train": "train a pose estimator, or with -m a sweep of them",
    "sweeps": "how far a sweep is",
    "report": "compare the runs of sweeps",
    "dashboard": "put a sweep's comparison on Weights & Biases",
    "evaluate": "a finished run's metrics in detail",
    "predict": "poses in a folder of images, or in videos",
    "pretrain": "train a backbone on photographs without labels",
    "lift": "train the network that gives 2D poses their third dimension",
    "demo": "a page where an image is dropped and its pose seen",
    "coat": "patches of the coat, for telling individuals apart",
    "export": "a run's network as an ONNX file",
    "describe": "what a dataset holds",
    "recommend": "what to train a dataset with on this machine, and why",
    "show": "what an augmentation group does to an image",
    "sigmas": "OKS sigmas from double annotations",
}


def main() -> None:
    """Run a command with the arguments after its name."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name == "--version":
        print(f"lynx_pose {__version__}")
    elif name == "--completion":
        shell = sys.argv[2] if len(sys.argv) > 2 else ""
        script = completion_script(shell, list(COMMANDS))
        sys.stdout.write(script) if script else sys.exit(f"--completion {shell}: must be one of {', '.join(SCRIPTS)}")
    elif name in ("-h", "--help"):
        print(_help())
    elif name in COMMANDS:
        sys.argv = [f"lynx-pose {name}", *sys.argv[2:]]
        module = import_module(f"lynx_pose.{name}")
        (module if hasattr(module, "main") else import_module(f"lynx_pose.{name}.__main__")).main()
    else:
        sys.exit(f"lynx-pose: there is no command {name}\n\n{_help()}")


def _help() -> str:
    lines = [f"  {name:<10} {text}" for name, text in COMMANDS.items()]
    return "\n".join(["lynx-pose COMMAND [its options]; lynx-pose COMMAND --help lists them", "", *lines])


if __name__ == "__main__":
    main()
