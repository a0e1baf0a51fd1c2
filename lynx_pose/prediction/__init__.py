"""From images and a trained network to poses, in the formats that field teams use."""
