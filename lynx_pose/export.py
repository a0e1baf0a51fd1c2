"""Write a run's network as an ONNX file: python -m lynx_pose.export run=<run folder>."""

from lynx_pose.cli import hydra_command

main = hydra_command("export", "lynx_pose.prediction.onnx_export:export", runs=True)

if __name__ == "__main__":
    main()
