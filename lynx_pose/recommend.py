"""What to train a dataset with on this machine, and why: python -m lynx_pose.recommend data=..."""

from lynx_pose.cli import hydra_command

main = hydra_command("recommend", "lynx_pose.training.recommendation:recommend")

if __name__ == "__main__":
    main()
