-- What visitors get while an environment is in maintenance: 'page' or 'hold'; null: it is not.
ALTER TABLE envs ADD COLUMN maintenance text;
