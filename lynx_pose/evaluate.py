"""A finished run's metrics in detail: python -m lynx_pose.evaluate run=<run folder>."""

from lynx_pose.cli import hydra_command

main = hydra_command("evaluate", "lynx_pose.evaluation.validate:evaluate", runs=True)

if __name__ == "__main__":
    main()
