import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.UUID;

/** Publishes a text: java Push.java CHANNEL TEXT [ID]. Prints icomet's answer. With the same ID it is published once. */
public class Push {
    static final String ADMIN = System.getenv().getOrDefault("ICOMET_ADMIN", "http://127.0.0.1:8080/icomet-admin");
    static final Duration TIMEOUT = Duration.ofSeconds(5);

    /** icomet's answer. The JDK cannot write JSON, so the text is the body, and the rest stands in the query. */
    static HttpResponse<String> publish(String channel, String text, String id) throws IOException, InterruptedException {
        HttpClient client = HttpClient.newBuilder().connectTimeout(TIMEOUT).build();
        HttpRequest request = HttpRequest.newBuilder(URI.create(ADMIN + "/api/publish?channel=" + encode(channel) + "&id=" + encode(id)))
                .header("Content-Type", "text/plain; charset=utf-8")
                .timeout(TIMEOUT)
                .POST(HttpRequest.BodyPublishers.ofString(text))
                .build();
        try {
            return client.send(request, HttpResponse.BodyHandlers.ofString());
        } catch (IOException unknown) {
            // Nobody knows whether it was published. The same id again makes sure, and publishes nothing twice.
            return client.send(request, HttpResponse.BodyHandlers.ofString());
        }
    }

    static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }

    public static void main(String[] args) throws InterruptedException {
        if (args.length != 2 && args.length != 3) {
            fail("usage: java Push.java CHANNEL TEXT [ID]");
        }
        try {
            HttpResponse<String> answer = publish(args[0], args[1], args.length == 3 ? args[2] : UUID.randomUUID().toString());
            if (answer.statusCode() != 200) {
                fail("push: icomet answered " + answer.statusCode() + ": " + answer.body());
            }
            System.out.println(answer.body().trim());
        } catch (IOException error) {
            fail("push: no answer from " + ADMIN + ": " + error);
        }
    }

    static void fail(String why) {
        System.err.println(why);
        System.exit(1);
    }
}
