-- The same choice may be told again after another one of the same moment: it counts, and ends remembered answers.
DROP INDEX mitz_notice_once;
