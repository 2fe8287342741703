package io.github.icomet;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.io.UnsupportedEncodingException;
import java.net.HttpURLConnection;
import java.net.SocketTimeoutException;
import java.net.URL;
import java.net.URLEncoder;
import java.util.Map;

/**
 * Requests by HttpURLConnection, one at a time, which {@link #stop} ends from any thread.
 *
 * <p>HttpURLConnection of the JDK cannot be disconnected while another thread reads its body: both take one lock. There a
 * stream is read with a short timeout, after which it can be read on, and the reader looks whether it was stopped. On Android
 * a timeout ends the connection, but it can be disconnected by any thread.
 */
final class Transport {
    private static final boolean ANDROID = "Dalvik".equals(System.getProperty("java.vm.name"));
    private static final int MIN_SLICE_MILLIS = 1000;
    private static final int MAX_SLICE_MILLIS = 16_000;
    /** Far above a long poll's batch of about 256 KB and one largest message of 256 MB. */
    private static final int MAX_LINE_BYTES = 512 << 20;

    private static final int MAX_SHOWN_BYTES = 120;

    private final ICometConf conf;
    private final Object lock = new Object();
    private HttpURLConnection current;
    private boolean reading;
    private volatile boolean stopped;
    private int sliceMillis = MIN_SLICE_MILLIS;

    Transport(ICometConf conf) {
        this.conf = conf;
    }

    /** A whole answer. */
    static final class Answer {
        final String body;
        /** The epoch that its ETag tells, of a server that tells it there, or null. */
        final String epoch;

        Answer(String body, String epoch) {
            this.body = body;
            this.epoch = epoch;
        }
    }

    /** Who takes the lines of a stream. */
    interface Lines {
        /** @return whether to read on */
        boolean line(String line) throws IOException;
    }

    static String encode(String text) {
        try {
            return URLEncoder.encode(text, "UTF-8");
        } catch (UnsupportedEncodingException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    /** Asks, and waits for the whole answer. */
    Answer get(String url) throws IOException {
        HttpURLConnection connection = open(url, conf.idleTimeoutMillis);
        try {
            InputStream in = body(connection);
            ByteArrayOutputStream body = new ByteArrayOutputStream();
            byte[] buffer = new byte[8192];
            for (int n; (n = in.read(buffer)) >= 0; ) {
                body.write(buffer, 0, n);
            }
            in.close();
            return new Answer(body.toString("UTF-8"), epochOf(connection.getHeaderField("ETag")));
        } catch (IOException failed) {
            connection.disconnect();
            throw failed;
        } finally {
            release();
        }
    }

    /** Asks, and reads lines until the answer ends, {@code lines} has enough, or nothing came for the idle timeout. */
    void stream(String url, Lines lines) throws IOException {
        HttpURLConnection connection = open(url, ANDROID ? conf.idleTimeoutMillis : Math.min(sliceMillis, conf.idleTimeoutMillis));
        try {
            InputStream in;
            try {
                in = body(connection);
            } catch (SocketTimeoutException slow) {
                // The same timeout holds for the answer's head: a slow network needs longer slices.
                sliceMillis = Math.min(MAX_SLICE_MILLIS, sliceMillis * 2);
                throw slow;
            }
            readLines(in, lines);
        } finally {
            release();
            connection.disconnect();
        }
    }

    private void readLines(InputStream in, Lines lines) throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        byte[] buffer = new byte[8192];
        long heard = System.nanoTime();
        while (true) {
            int n;
            try {
                n = in.read(buffer);
            } catch (SocketTimeoutException quiet) {
                if (stopped) {
                    throw new InterruptedIOException("stopped");
                }
                if (ANDROID || (System.nanoTime() - heard) / 1_000_000 >= conf.idleTimeoutMillis) {
                    throw quiet;
                }
                continue;
            }
            if (n < 0) {
                return;
            }
            heard = System.nanoTime();
            int start = 0;
            for (int i = 0; i < n; i++) {
                if (buffer[i] == '\n') {
                    line.write(buffer, start, i - start);
                    start = i + 1;
                    String text = line.toString("UTF-8");
                    line.reset();
                    if (!text.isEmpty() && !lines.line(text)) {
                        return;
                    }
                }
            }
            line.write(buffer, start, n - start);
            if (line.size() > MAX_LINE_BYTES) {
                throw new IOException("the server's line is too long");
            }
        }
    }

    /** Ends the request that is under way, and all later ones. From any thread. */
    void stop() {
        final HttpURLConnection ended;
        synchronized (lock) {
            stopped = true;
            ended = current;
            if (ended == null || reading && !ANDROID) {
                return;
            }
        }
        if (!ANDROID) {
            ended.disconnect();
            return;
        }
        // Android lets the main thread do nothing with a network.
        new Thread("icomet-stop") {
            @Override
            public void run() {
                ended.disconnect();
            }
        }.start();
    }

    private HttpURLConnection open(String url, int readTimeoutMillis) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) new URL(url).openConnection();
        connection.setConnectTimeout(conf.connectTimeoutMillis);
        connection.setReadTimeout(readTimeoutMillis);
        connection.setUseCaches(false);
        for (Map.Entry<String, String> header : conf.headers.entrySet()) {
            connection.setRequestProperty(header.getKey(), header.getValue());
        }
        // Compressed streams are held back.
        connection.setRequestProperty("Accept-Encoding", "identity");
        synchronized (lock) {
            if (stopped) {
                throw new InterruptedIOException("stopped");
            }
            current = connection;
            reading = false;
        }
        return connection;
    }

    /** Sends the request, and gives the body of a good answer. */
    private InputStream body(HttpURLConnection connection) throws IOException {
        connection.connect();
        // Before it was connected nobody could disconnect it.
        if (stopped) {
            throw new InterruptedIOException("stopped");
        }
        int status = connection.getResponseCode();
        if (status != 200) {
            throw new StatusException(status, beginning(connection.getErrorStream()));
        }
        InputStream in = connection.getInputStream();
        synchronized (lock) {
            reading = true;
            if (stopped) {
                throw new InterruptedIOException("stopped");
            }
        }
        return in;
    }

    /** The first bytes of an answer that is an error; at most what is worth showing. */
    private static String beginning(InputStream in) throws IOException {
        if (in == null) {
            return "";
        }
        byte[] buffer = new byte[MAX_SHOWN_BYTES];
        int length = 0;
        for (int n; length < buffer.length && (n = in.read(buffer, length, buffer.length - length)) >= 0; ) {
            length += n;
        }
        in.close();
        return new String(buffer, 0, length, "UTF-8").replaceAll("\\s+", " ").trim();
    }

    private void release() {
        synchronized (lock) {
            current = null;
        }
    }

    /** The epoch of an entity tag {@code "EPOCH-SEQ"}. */
    static String epochOf(String tag) {
        if (tag == null) {
            return null;
        }
        int start = tag.indexOf('"') + 1;
        int end = tag.indexOf('-', start + 1);
        return end == start + 16 && tag.substring(start, end).matches("[0-9a-f]{16}") ? tag.substring(start, end) : null;
    }
}
