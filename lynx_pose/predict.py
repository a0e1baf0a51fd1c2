"""Find poses in images: python -m lynx_pose.predict run=<run folder> images=<folder> [boxes=<detections>]."""

from lynx_pose.cli import hydra_command
from lynx_pose.options import with_run_named

main = hydra_command("predict", "lynx_pose.prediction.predictor:predict_images", prepare=with_run_named)

if __name__ == "__main__":
    main()
