-- Filled in by what comes next.
SELECT 1;
