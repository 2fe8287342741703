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
    final AtomicInteger accepted = new AtomicInteger();
    private final ServerSocket listening;
    private final int target;
    private final boolean holdsStreams;
    private final Set<Socket> open = ConcurrentHashMap.newKeySet();
    private volatile boolean down;

    Proxy(int target, boolean holdsStreams) throws IOException {
        this.target = target;
        this.holdsStreams = holdsStreams;
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
                boolean[] streams = {false};
                daemon(() -> copy(client, server, streams, true));
                daemon(() -> copy(server, client, streams, false));
                if (down) {
                    closeAll();
                }
            }
        } catch (IOException closed) {
            // It was closed.
        }
    }

    private void copy(Socket from, Socket to, boolean[] streams, boolean request) {
        try {
            InputStream in = from.getInputStream();
            OutputStream out = to.getOutputStream();
            byte[] buffer = new byte[8192];
            for (int n; (n = in.read(buffer)) >= 0; ) {
                if (request) {
                    streams[0] = new String(buffer, 0, n, "ISO-8859-1").startsWith("GET /icomet/stream");
                }
                if (request || !streams[0] || !holdsStreams) {
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
