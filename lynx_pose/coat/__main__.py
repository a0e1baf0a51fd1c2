"""Cut out the coat: python -m lynx_pose.coat run=<run folder> images=<folder> [boxes=<detections>]."""

from lynx_pose.cli import hydra_command

main = hydra_command("coat", "lynx_pose.coat.extract:cut_coats", runs=True)

if __name__ == "__main__":
    main()
