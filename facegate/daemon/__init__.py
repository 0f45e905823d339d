"""The gate as a service: intake, hunt, the straight line from frame to decision, jobs."""
