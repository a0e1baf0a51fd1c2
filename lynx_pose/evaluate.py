"""A finished run's metrics in detail: python -m lynx_pose.evaluate run=<run folder>."""

from lynx_pose.cli import hydra_command
from lynx_pose.options import with_run_named

main = hydra_command("evaluate", "lynx_pose.evaluation.validate:evaluate", prepare=with_run_named)

if __name__ == "__main__":
    main()
