package io.github.icomet;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** An nginx with the module, in a folder and on a port of its own. */
final class Server implements AutoCloseable {
    final int port;
    private final int tlsPort;
    private final Path prefix;
    private Process master;

    /** @param hub parameters of the hub beside its zone */
    Server(String hub) throws Exception {
        this(hub, null);
    }

    /** The same by TLS, at {@code tlsUrl}, where there is a certificate. */
    Server(String hub, Certificate certificate) throws Exception {
        try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"))) {
            port = free.getLocalPort();
        }
        try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"))) {
            tlsPort = free.getLocalPort();
        }
        prefix = Files.createTempDirectory("icomet-java");
        Files.createDirectories(prefix.resolve("logs"));
        String conf = "daemon off;\nload_module " + absolute("icomet.module") + ";\nworker_processes 2;\npid logs/nginx.pid;\n"
                + "error_log logs/error.log;\nevents { worker_connections 256; }\nhttp {\naccess_log off;\n"
                + "client_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path fastcgi;\nuwsgi_temp_path uwsgi;\nscgi_temp_path scgi;\n"
                + "icomet_hub main { zone 4m; " + hub + " }\nserver {\nlisten 127.0.0.1:" + port + ";\n" + tls(certificate)
                + "location /icomet/ { icomet_sub main; }\nlocation /icomet-admin/ { icomet_pub main; }\n}\n}\n";
        Files.write(prefix.resolve("nginx.conf"), conf.getBytes(StandardCharsets.UTF_8));
        start();
    }

    private static String absolute(String property) {
        return Paths.get(System.getProperty(property)).toAbsolutePath().toString();
    }

    private String tls(Certificate certificate) throws IOException {
        if (certificate == null) {
            return "";
        }
        Files.writeString(prefix.resolve("certificate.pem"), certificate.pem);
        Files.writeString(prefix.resolve("key.pem"), certificate.keyPem);
        return "listen 127.0.0.1:" + tlsPort + " ssl;\nssl_certificate certificate.pem;\nssl_certificate_key key.pem;\n";
    }

    String tlsUrl() {
        return "https://127.0.0.1:" + tlsPort + "/icomet";
    }

    private void start() throws Exception {
        master = new ProcessBuilder(absolute("icomet.nginx"), "-p", prefix.toString(), "-c", "nginx.conf", "-e", "logs/error.log")
                .redirectErrorStream(true).redirectOutput(prefix.resolve("logs/out.log").toFile()).start();
        Await.until("nginx serves", () -> {
            assertAlive();
            try {
                return admin("info").contains("version");
            } catch (IOException notYet) {
                return false;
            }
        });
    }

    private void assertAlive() throws IOException {
        if (!master.isAlive()) {
            throw new AssertionError("nginx ended: " + Files.readString(prefix.resolve("logs/out.log")));
        }
    }

    String url() {
        return "http://127.0.0.1:" + port + "/icomet";
    }

    String signUrl() {
        return "http://127.0.0.1:" + port + "/icomet-admin/sign";
    }

    /** GET below the admin side. */
    String admin(String path) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) new URL("http://127.0.0.1:" + port + "/icomet-admin/" + path).openConnection();
        connection.setConnectTimeout(5000);
        connection.setReadTimeout(5000);
        try (InputStream in = connection.getInputStream()) {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            in.transferTo(out);
            return out.toString(StandardCharsets.UTF_8);
        }
    }

    void push(String channel, String content) throws IOException {
        String answer = admin("push?cname=" + Transport.encode(channel) + "&content=" + Transport.encode(content));
        if (!answer.contains("\"ok\"")) {
            throw new AssertionError("push: " + answer);
        }
    }

    Set<Long> workers() {
        return master.children().map(ProcessHandle::pid).collect(Collectors.toCollection(HashSet::new));
    }

    /** Reloads, and waits for new workers. */
    void reload() throws Exception {
        Set<Long> before = workers();
        new ProcessBuilder("kill", "-HUP", Long.toString(master.pid())).inheritIO().start().waitFor();
        Await.until("new workers", () -> workers().stream().anyMatch(pid -> !before.contains(pid)));
    }

    /** Kills all workers, and waits for others. */
    void killWorkers() throws Exception {
        Set<Long> before = workers();
        for (long pid : before) {
            new ProcessBuilder("kill", "-KILL", Long.toString(pid)).start().waitFor();
        }
        Await.until("other workers", () -> {
            Set<Long> now = workers();
            return now.size() >= 2 && before.stream().noneMatch(now::contains);
        });
    }

    /** Ends nginx, and starts it with an empty memory. */
    void restart() throws Exception {
        stop();
        start();
    }

    private void stop() throws Exception {
        List<ProcessHandle> workers = master.children().collect(Collectors.toList());
        master.destroy();
        if (!master.waitFor(20, TimeUnit.SECONDS)) {
            workers.forEach(ProcessHandle::destroyForcibly);
            master.destroyForcibly().waitFor();
        }
    }

    @Override
    public void close() throws Exception {
        stop();
        try (Stream<Path> files = Files.walk(prefix)) {
            for (Path each : files.sorted(Comparator.reverseOrder()).collect(Collectors.toList())) {
                Files.delete(each);
            }
        }
    }
}
