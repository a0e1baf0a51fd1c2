"""Look at an augmentation group: python -m lynx_pose.show aug=weather [time=true]."""

from lynx_pose.cli import hydra_command

main = hydra_command("show", "lynx_pose.visualization.contact_sheet:show")

if __name__ == "__main__":
    main()
