// PostgreSQL's JDBC driver: where its transactions run. Arguments: the primary's port, the replica's.
import java.sql.*;
import java.util.*;

public class Placing {
    static final String WHO = "SELECT inet_server_port()";
    static final String HINTED = "/* pgweir: route=replica */ SELECT inet_server_port()";
    static int primary, replica;

    public static void main(String[] args) throws Exception {
        primary = Integer.parseInt(args[0]);
        replica = Integer.parseInt(args[1]);
        for (String mode : List.of("extended", "simple", "extendedForPrepared", "extendedCacheEverything")) {
            try (Connection conn = connect(mode)) {
                conn.setAutoCommit(false);
                // More often than BEGIN goes without a name.
                for (int n = 0; n < 8; n++) {
                    placed(conn, WHO, primary, mode);
                    placed(conn, HINTED, replica, mode);
                    conn.setReadOnly(true);
                    placed(conn, WHO, replica, mode);
                    conn.setReadOnly(false);
                    placed(conn, "SHOW pgweir.route", 0, mode);
                }
                run(conn, "INSERT INTO t VALUES (1)");
                conn.rollback();
                run(conn, "SET LOCAL pgweir.route = replica");
                placed(conn, WHO, replica, mode);
                // A transaction goes on as it has begun.
                same(one(conn, HINTED), replica, mode);
                same(one(conn, WHO), replica, mode);
                conn.commit();
                try {
                    one(conn, "SELECT 1/0");
                    throw new AssertionError("no error");
                } catch (SQLException error) {
                    same(Integer.parseInt(error.getSQLState()), 22012, mode);
                }
                conn.rollback();
                run(conn, "SET pgweir.route = replica");
                conn.commit();
                placed(conn, WHO, replica, mode);
                conn.setAutoCommit(true);
                placed(conn, WHO, replica, mode);
            }
        }
        System.exit(0);
    }

    static Connection connect(String mode) throws SQLException {
        Map<String, String> env = System.getenv();
        Properties properties = new Properties();
        properties.setProperty("user", env.get("PGUSER"));
        properties.setProperty("sslmode", "disable");
        properties.setProperty("preferQueryMode", mode);
        String url = "jdbc:postgresql://" + env.get("PGHOST") + ":" + env.get("PGPORT") + "/" + env.get("PGDATABASE");
        return DriverManager.getConnection(url, properties);
    }

    /** Runs it in a transaction of its own; its answer is a port, or (0) anything. */
    static void placed(Connection conn, String sql, int host, String mode) throws SQLException {
        int got = one(conn, sql);
        if (host != 0) same(got, host, mode + ": " + sql);
        if (!conn.getAutoCommit()) conn.commit();
    }

    static int one(Connection conn, String sql) throws SQLException {
        try (PreparedStatement statement = conn.prepareStatement(sql); ResultSet rows = statement.executeQuery()) {
            rows.next();
            String value = rows.getString(1);
            return value.equals("auto") ? 0 : Integer.parseInt(value);
        }
    }

    static void run(Connection conn, String sql) throws SQLException {
        try (Statement statement = conn.createStatement()) {
            statement.execute(sql);
        }
    }

    static void same(int got, int wanted, String where) {
        if (got != wanted) throw new AssertionError(where + ": got " + got + ", wanted " + wanted);
    }
}
