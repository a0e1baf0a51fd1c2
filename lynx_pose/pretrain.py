"""Train a backbone on photographs without labels: python -m lynx_pose.pretrain."""

from lynx_pose.cli import hydra_command

main = hydra_command("pretrain", "lynx_pose.pretraining.pretraining_run:pretrain")

if __name__ == "__main__":
    main()
