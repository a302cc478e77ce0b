// PostgreSQL's JDBC driver: statements that become named after five runs, batches, fetch sizes,
// generated keys, COPY, savepoints, errors, cancels, and threads. It reads no variables, so its
// URL is made from libpq's.
import java.io.StringReader;
import java.io.StringWriter;
import java.sql.*;
import java.util.*;
import java.util.concurrent.*;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

public class Jdbc {
    static boolean tls;

    public static void main(String[] args) throws Exception {
        tls = args[0].equals("tls");
        try (Connection conn = connect(Map.of())) {
            transactions(conn);
            batches(conn);
            cursors(conn);
            copies(conn);
            errors(conn);
            cancels(conn);
            settings(conn);
        }
        for (String mode : List.of("simple", "extendedForPrepared", "extendedCacheEverything")) {
            try (Connection conn = connect(Map.of("preferQueryMode", mode))) {
                transactions(conn);
            }
        }
        threads();
        System.exit(0);
    }

    static Connection connect(Map<String, String> more) throws SQLException {
        Map<String, String> env = System.getenv();
        Properties properties = new Properties();
        properties.setProperty("user", env.get("PGUSER"));
        properties.setProperty("password", env.getOrDefault("PGPASSWORD", ""));
        properties.setProperty("sslmode", env.get("PGSSLMODE"));
        if (tls) properties.setProperty("sslrootcert", env.get("PGSSLROOTCERT"));
        properties.setProperty("ApplicationName", "jdbc");
        more.forEach(properties::setProperty);
        String url = "jdbc:postgresql://" + env.get("PGHOST") + ":" + env.get("PGPORT") + "/" + env.get("PGDATABASE");
        return DriverManager.getConnection(url, properties);
    }

    static void transactions(Connection conn) throws SQLException {
        conn.setAutoCommit(false);
        try (PreparedStatement statement = conn.prepareStatement("SELECT ?::int + 1")) {
            for (int n = 0; n < 20; n++) {
                statement.setInt(1, n);
                try (ResultSet rows = statement.executeQuery()) {
                    same(rows.next(), true);
                    same(rows.getInt(1), n + 1);
                }
                conn.commit();
            }
        }
        Savepoint savepoint = conn.setSavepoint();
        failsWith("22012", () -> one(conn, "SELECT 1/0"));
        conn.rollback(savepoint);
        same(one(conn, "SELECT 'goes on'"), "goes on");
        conn.commit();
        conn.setAutoCommit(true);
    }

    static void batches(Connection conn) throws SQLException {
        run(conn, "DROP TABLE IF EXISTS jdbc_batch");
        run(conn, "CREATE TABLE jdbc_batch (id serial PRIMARY KEY, n int)");
        try (PreparedStatement insert =
                conn.prepareStatement("INSERT INTO jdbc_batch (n) VALUES (?)", Statement.RETURN_GENERATED_KEYS)) {
            for (int n = 0; n < 500; n++) {
                insert.setInt(1, n);
                insert.addBatch();
            }
            same(Arrays.stream(insert.executeBatch()).sum(), 500);
            int keys = 0;
            try (ResultSet rows = insert.getGeneratedKeys()) {
                while (rows.next()) keys++;
            }
            same(keys, 500);
        }
        same(one(conn, "SELECT count(*) FROM jdbc_batch"), "500");
    }

    static void cursors(Connection conn) throws SQLException {
        conn.setAutoCommit(false); // else the driver ignores the fetch size
        try (Statement statement = conn.createStatement()) {
            statement.setFetchSize(7);
            int sum = 0;
            try (ResultSet rows = statement.executeQuery("SELECT generate_series(1, 100)")) {
                while (rows.next()) sum += rows.getInt(1);
            }
            same(sum, 5050);
        }
        conn.commit();
        conn.setAutoCommit(true);
    }

    static void copies(Connection conn) throws Exception {
        CopyManager copy = conn.unwrap(PGConnection.class).getCopyAPI();
        StringBuilder lines = new StringBuilder();
        for (int n = 0; n < 1000; n++) lines.append(n).append('\t').append(n).append('\n');
        run(conn, "TRUNCATE jdbc_batch");
        same(copy.copyIn("COPY jdbc_batch FROM STDIN", new StringReader(lines.toString())), 1000L);
        StringWriter out = new StringWriter();
        same(copy.copyOut("COPY jdbc_batch TO STDOUT", out), 1000L);
        same(out.toString().lines().count(), 1000L);
        failsWith("22P02", () -> {
            try {
                copy.copyIn("COPY jdbc_batch FROM STDIN", new StringReader("no number\t1\n"));
            } catch (java.io.IOException broken) {
                throw new SQLException(broken);
            }
        });
    }

    static void errors(Connection conn) throws SQLException {
        failsWith("42601", () -> one(conn, "SELECT FROM WHERE"));
        failsWith("42P01", () -> one(conn, "SELECT * FROM nowhere"));
        same(one(conn, "SELECT 1"), "1");
    }

    static void cancels(Connection conn) throws SQLException {
        try (Statement statement = conn.createStatement()) {
            statement.setQueryTimeout(1); // the driver sends a cancel request of its own
            failsWith("57014", () -> statement.execute("SELECT pg_sleep(60)"));
        }
        same(one(conn, "SELECT 1"), "1");
    }

    static void settings(Connection conn) throws SQLException {
        same(one(conn, "SHOW application_name"), "jdbc");
        same(conn.isValid(5), true);
        conn.setReadOnly(true);
        conn.setAutoCommit(false);
        failsWith("25006", () -> run(conn, "CREATE TABLE refused ()"));
        conn.rollback();
        conn.setReadOnly(false);
        conn.setAutoCommit(true);
        try (ResultSet rows = conn.getMetaData().getColumns(null, "public", "jdbc_batch", "%")) {
            same(rows.next(), true);
            same(rows.getString("COLUMN_NAME"), "id");
        }
    }

    static void threads() throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(10);
        List<Future<?>> tasks = new ArrayList<>();
        for (int thread = 0; thread < 10; thread++) {
            int number = thread;
            tasks.add(pool.submit(() -> {
                try (Connection conn = connect(Map.of());
                        PreparedStatement statement = conn.prepareStatement("SELECT ?::text")) {
                    for (int n = 0; n < 20; n++) {
                        statement.setString(1, "thread " + number + " round " + n);
                        try (ResultSet rows = statement.executeQuery()) {
                            rows.next();
                            same(rows.getString(1), "thread " + number + " round " + n);
                        }
                    }
                }
                return null;
            }));
        }
        for (Future<?> task : tasks) task.get();
        pool.shutdown();
    }

    static String one(Connection conn, String sql) throws SQLException {
        try (Statement statement = conn.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
            rows.next();
            return rows.getString(1);
        }
    }

    static void run(Connection conn, String sql) throws SQLException {
        try (Statement statement = conn.createStatement()) {
            statement.execute(sql);
        }
    }

    interface Attempt {
        void run() throws SQLException;
    }

    static void failsWith(String state, Attempt attempt) {
        try {
            attempt.run();
        } catch (SQLException error) {
            if (!state.equals(error.getSQLState())) throw new AssertionError(state, error);
            return;
        }
        throw new AssertionError("no error, " + state + " was due");
    }

    static void same(Object got, Object wanted) {
        if (!got.equals(wanted)) throw new AssertionError("got " + got + ", wanted " + wanted);
    }
}
