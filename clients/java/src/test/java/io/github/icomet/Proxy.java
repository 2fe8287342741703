package io.github.icomet;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/** Between client and server: it can cut connections, refuse them, and hold streams back. */
final class Proxy implements AutoCloseable {
    /** What it does with the answers of streams: hands them on, holds them back, or cuts them behind their head. */
    enum Streams { PASS, HOLD, CUT }

    final AtomicInteger accepted = new AtomicInteger();
    final AtomicInteger streams = new AtomicInteger();
    private final ServerSocket listening;
    private final int target;
    private final Streams kind;
    private final Set<Socket> open = ConcurrentHashMap.newKeySet();
    private volatile boolean down;

    Proxy(int target, Streams kind) throws IOException {
        this.target = target;
        this.kind = kind;
        listening = new ServerSocket(0, 50, InetAddress.getByName("127.0.0.1"));
        daemon(this::accept);
    }

    String url() {
        return "http://127.0.0.1:" + listening.getLocalPort() + "/icomet";
    }

    /** Ends all connections, and each new one until {@link #mend}. */
    void cut() {
        down = true;
        closeAll();
    }

    void mend() {
        down = false;
    }

    private void closeAll() {
        for (Socket each : open) {
            quietly(each);
        }
        open.clear();
    }

    private void accept() {
        try {
            while (true) {
                Socket client = listening.accept();
                accepted.incrementAndGet();
                if (down) {
                    quietly(client);
                    continue;
                }
                Socket server = new Socket(InetAddress.getByName("127.0.0.1"), target);
                open.add(client);
                open.add(server);
                boolean[] isStream = {false};
                daemon(() -> copy(client, server, isStream, true));
                daemon(() -> copy(server, client, isStream, false));
                if (down) {
                    closeAll();
                }
            }
        } catch (IOException closed) {
            // It was closed.
        }
    }

    private void copy(Socket from, Socket to, boolean[] isStream, boolean request) {
        try {
            InputStream in = from.getInputStream();
            OutputStream out = to.getOutputStream();
            byte[] buffer = new byte[8192];
            for (int n; (n = in.read(buffer)) >= 0; ) {
                if (request) {
                    isStream[0] = new String(buffer, 0, n, "ISO-8859-1").startsWith("GET /icomet/stream");
                    if (isStream[0]) {
                        streams.incrementAndGet();
                    }
                } else if (isStream[0] && kind == Streams.CUT) {
                    String answer = new String(buffer, 0, n, "ISO-8859-1");
                    out.write(buffer, 0, answer.indexOf("\r\n\r\n") + 4);
                    break;
                }
                if (request || !isStream[0] || kind == Streams.PASS) {
                    out.write(buffer, 0, n);
                }
            }
        } catch (IOException ended) {
            // Both ends are closed below.
        }
        quietly(from);
        quietly(to);
        open.remove(from);
        open.remove(to);
    }

    private static void daemon(Runnable work) {
        Thread thread = new Thread(work, "test-proxy");
        thread.setDaemon(true);
        thread.start();
    }

    private static void quietly(Socket socket) {
        try {
            socket.close();
        } catch (IOException gone) {
            // It is closed all the same.
        }
    }

    @Override
    public void close() throws IOException {
        listening.close();
        closeAll();
    }
}
