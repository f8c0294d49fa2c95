-- To be written by its owner in this issue.
SELECT 1;
