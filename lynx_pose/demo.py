"""See the pose on an image in a browser: python -m lynx_pose.demo run=<run folder>."""

from lynx_pose.cli import hydra_command

main = hydra_command("demo", "lynx_pose.prediction.demo_page:serve", runs=True)

if __name__ == "__main__":
    main()
