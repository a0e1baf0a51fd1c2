"""See the pose on an image in a browser: python -m lynx_pose.demo run=<run folder>."""

from lynx_pose.cli import hydra_command
from lynx_pose.options import with_run_named

main = hydra_command("demo", "lynx_pose.prediction.demo_page:serve", prepare=with_run_named)

if __name__ == "__main__":
    main()
