-- Run once by psql (14 or newer) as the superuser, when docker compose makes the database. The service's role owns its
-- database and is no superuser.
\getenv password POSTGRES_PASSWORD
CREATE ROLE latchkey LOGIN PASSWORD :'password';
CREATE DATABASE latchkey OWNER latchkey;
-- The superuser can then connect inside of the container alone, over its Unix socket.
ALTER ROLE CURRENT_USER PASSWORD NULL;
