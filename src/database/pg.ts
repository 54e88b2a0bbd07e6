/** The driver `pg`, without the environment variables that it reads. Import it from here. */
import "./pgEnvironment.ts"; // first, because pg reads some of them when it is loaded
import pg from "pg";

export default pg;
