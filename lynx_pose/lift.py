"""Train the network that gives 2D poses their third dimension: python -m lynx_pose.lift."""

from lynx_pose.cli import hydra_command

main = hydra_command("lift", "lynx_pose.lifting.lifting_run:train_lifting")

if __name__ == "__main__":
    main()
