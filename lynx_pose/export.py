"""Write a run's network as an ONNX file: python -m lynx_pose.export run=<run folder>."""

from lynx_pose.cli import hydra_command
from lynx_pose.options import with_run_named

main = hydra_command("export", "lynx_pose.prediction.onnx_export:export", prepare=with_run_named)

if __name__ == "__main__":
    main()
