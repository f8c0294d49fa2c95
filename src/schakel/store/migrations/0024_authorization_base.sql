-- What a receiver of a notification gives back when it asks a token (Twiin TA NP): which Tasks the token is for.
ALTER TABLE access_token ADD COLUMN authorization_base text NOT NULL DEFAULT '';
