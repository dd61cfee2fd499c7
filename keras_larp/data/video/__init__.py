"""Reading, transforming and writing of video files."""
