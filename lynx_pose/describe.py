"""A dataset's own page: python -m lynx_pose.describe data=lynx data.root=/path/to/LynxPose."""

from lynx_pose.cli import hydra_command

main = hydra_command("describe", "lynx_pose.reporting.dataset_page:write_dataset_page")

if __name__ == "__main__":
    main()
