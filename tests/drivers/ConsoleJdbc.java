// PostgreSQL's JDBC driver on the console, in autocommit: both protocols, a statement that becomes a named one, isValid.
import java.sql.*;
import java.util.*;

public class ConsoleJdbc {
    public static void main(String[] args) throws Exception {
        Map<String, String> env = System.getenv();
        String url = "jdbc:postgresql://" + env.get("PGHOST") + ":" + env.get("PGPORT") + "/" + env.get("PGDATABASE");
        for (String mode : List.of("extended", "simple")) {
            Properties properties = new Properties();
            properties.setProperty("user", env.get("PGUSER"));
            properties.setProperty("preferQueryMode", mode);
            properties.setProperty("sslmode", "disable");
            try (Connection conn = DriverManager.getConnection(url, properties)) {
                try (PreparedStatement databases = conn.prepareStatement("SHOW DATABASES")) {
                    for (int n = 0; n < 10; n++) {
                        boolean found = false;
                        ResultSet rows = databases.executeQuery();
                        while (rows.next()) {
                            found |= rows.getString("name").equals("app") && rows.getInt("pool_size") == 20;
                        }
                        check(found, mode);
                    }
                }
                try (Statement statement = conn.createStatement()) {
                    ResultSet totals = statement.executeQuery("SHOW STATS_TOTALS");
                    check(totals.next() && totals.getBigDecimal("query_count").signum() > 0, mode);
                    try {
                        statement.execute("FROBNICATE");
                        check(false, "an error");
                    } catch (SQLException error) {
                        check(error.getSQLState().equals("08P01"), error.toString());
                    }
                    statement.execute("PAUSE app");
                    statement.execute("RESUME app");
                }
                check(conn.isValid(5), "valid");
            }
        }
        System.exit(0);
    }

    static void check(boolean right, String what) {
        if (!right) throw new AssertionError(what);
    }
}
