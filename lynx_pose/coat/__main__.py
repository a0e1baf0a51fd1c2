"""Cut out the coat: python -m lynx_pose.coat run=<run folder> images=<folder> [boxes=<detections>]."""

from lynx_pose.cli import hydra_command
from lynx_pose.options import with_run_named

main = hydra_command("coat", "lynx_pose.coat.extract:cut_coats", prepare=with_run_named)

if __name__ == "__main__":
    main()
