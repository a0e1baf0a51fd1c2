"""Find poses in images: python -m lynx_pose.predict run=<run folder> images=<folder> [boxes=<detections>]."""

from lynx_pose.cli import hydra_command

main = hydra_command("predict", "lynx_pose.prediction.predictor:predict_images", runs=True)

if __name__ == "__main__":
    main()
