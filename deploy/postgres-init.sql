-- psql (14 or later) runs this once as the superuser, when Docker Compose creates the database. The role of the service owns
-- its database and is not a superuser.
\getenv password POSTGRES_PASSWORD
CREATE ROLE latchkey LOGIN PASSWORD :'password';
CREATE DATABASE latchkey OWNER latchkey;
-- After this, the superuser can connect only inside the container, over the Unix socket.
ALTER ROLE CURRENT_USER PASSWORD NULL;
