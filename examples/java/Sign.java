import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.*;
import java.net.http.*;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.Executors;
import java.util.regex.*;

/** Lets users listen: java Sign.java [PORT=8001] answers what a client's signUrl asks, GET /sign?cname=CHANNEL[&cb=CALLBACK]. */
public class Sign {
    static final String ADMIN = System.getenv().getOrDefault("ICOMET_ADMIN", "http://127.0.0.1:8080/icomet-admin");
    static final Duration TIMEOUT = Duration.ofSeconds(5);
    static final HttpClient CLIENT = HttpClient.newBuilder().connectTimeout(TIMEOUT).build();

    /** Who asks, or null. A real site looks into its session here: a plain cookie can be forged by anybody. */
    static String userOf(HttpExchange exchange) {
        return find("(?:^|; *)user=([A-Za-z0-9_-]+)(?:;|$)", exchange.getRequestHeaders().getFirst("Cookie"));
    }

    static boolean mayListen(String user, String channel) {
        return channel.startsWith("public.") || (user != null && channel.equals("user." + user));
    }

    static void handle(HttpExchange exchange) throws IOException {
        String channel = parameter(exchange, "cname");
        String callback = parameter(exchange, "cb");
        // The answer is a script that calls it: it must be a name and nothing else.
        if (!callback.matches("[A-Za-z0-9_$.]{0,128}")) {
            answer(exchange, 400, "text/plain", "cb must be a function's name\n");
        } else if (!mayListen(userOf(exchange), channel)) {
            answer(exchange, 403, "text/plain", "you may not listen to this channel\n");
        } else {
            String script = callback.isEmpty() ? "" : "&cb=" + callback;
            URI sign = URI.create(ADMIN + "/sign?expires=60&cname=" + URLEncoder.encode(channel, StandardCharsets.UTF_8) + script);
            try {
                var signed = CLIENT.send(HttpRequest.newBuilder(sign).timeout(TIMEOUT).build(), HttpResponse.BodyHandlers.ofString());
                String type = signed.statusCode() != 200 ? "text/plain" : callback.isEmpty() ? "application/json" : "text/javascript";
                answer(exchange, signed.statusCode(), type, signed.body());
            } catch (IOException | InterruptedException error) {
                System.err.println("no answer from " + ADMIN + ": " + error);
                answer(exchange, 502, "text/plain", "icomet cannot be reached\n");
            }
        }
    }

    static String parameter(HttpExchange exchange, String name) {
        String found = find("(?:^|&)" + name + "=([^&]*)", exchange.getRequestURI().getRawQuery());
        return found == null ? "" : URLDecoder.decode(found, StandardCharsets.UTF_8);
    }

    static String find(String pattern, String text) {
        Matcher found = Pattern.compile(pattern).matcher(text == null ? "" : text);
        return found.find() ? found.group(1) : null;
    }

    static void answer(HttpExchange exchange, int status, String type, String text) throws IOException {
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", type + "; charset=utf-8");
        exchange.getResponseHeaders().set("Cache-Control", "no-store");
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    public static void main(String[] args) throws IOException {
        int port = args.length > 0 ? Integer.parseInt(args[0]) : 8001;
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", Sign::handle);
        server.start();
    }
}
