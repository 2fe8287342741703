package io.github.icomet;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLSocketFactory;
import org.junit.After;
import org.junit.Test;

/** The client against a running nginx. */
public class ClientTest {
    private final Recorder told = new Recorder();
    private final List<AutoCloseable> opened = new ArrayList<>();
    private ICometClient client;

    @After
    public void end() throws Exception {
        if (client != null) {
            client.stop();
            assertTrue("the client's thread ended", client.awaitEnd(30, TimeUnit.SECONDS));
        }
        Collections.reverse(opened);
        for (AutoCloseable each : opened) {
            each.close();
        }
        for (Thread each : Thread.getAllStackTraces().keySet()) {
            assertFalse(each + " is left", each.getName().startsWith("icomet"));
        }
    }

    private Server server(String hub) throws Exception {
        Server server = new Server(hub);
        opened.add(server);
        return server;
    }

    private Proxy proxy(Server server, Proxy.Streams streams) throws Exception {
        Proxy proxy = new Proxy(server.port, streams);
        opened.add(proxy);
        return proxy;
    }

    private void start(ICometConf conf) {
        client = new ICometClient(conf.listener(told)).start();
    }

    private static List<String> numbered(String channel, int from, int to) {
        List<String> messages = new ArrayList<>();
        for (int seq = from; seq <= to; seq++) {
            messages.add(channel + " " + seq + ": " + seq);
        }
        return messages;
    }

    private static void push(Server server, String channel, int from, int to) throws Exception {
        for (int n = from; n <= to; n++) {
            server.push(channel, Integer.toString(n));
        }
    }

    @Test
    public void receivesFromNowOn() throws Exception {
        Server server = server("");
        server.push("a", "before");
        start(new ICometConf(server.url()).channel("a"));
        told.await("OPEN");
        server.push("a", "\u00fc & \"quotes\" \ud83d\ude00\n");
        told.await("a 2: \u00fc & \"quotes\" \ud83d\ude00\n");
        server.admin("broadcast?content=all");
        told.await("a 3: all");
        client.stop();
        assertTrue(client.awaitEnd(30, TimeUnit.SECONDS));
        assertEquals(Arrays.asList("CONNECTING", "OPEN", "a 2: \u00fc & \"quotes\" \ud83d\ude00\n", "a 3: all", "CLOSED"), told.told());
        assertEquals(State.CLOSED, client.state());
        assertEquals(4, client.nextSeq("a"));
        assertNotNull(client.epoch("a"));
    }

    @Test
    public void eventsHaveTheirName() throws Exception {
        Server server = server("");
        MessageReader reader = new MessageReader(new ICometConf(server.url()).channel("a", 1));
        opened.add(reader);
        server.admin("push?cname=a&content=7&event=price");
        Message message = reader.next();
        assertEquals("price", message.event());
        assertEquals("7", message.content());
    }

    @Test
    public void resumesAfterACut() throws Exception {
        Server server = server("channel_buffer_size 100;");
        Proxy proxy = proxy(server, Proxy.Streams.PASS);
        start(new ICometConf(proxy.url()).channel("a", 1));
        push(server, "a", 1, 3);
        told.await("a 3: 3");
        proxy.cut();
        told.await("RECONNECTING");
        push(server, "a", 4, 9);
        proxy.mend();
        told.await("a 9: 9");
        push(server, "a", 10, 10);
        told.await("a 10: 10");
        assertEquals(numbered("a", 1, 10), told.events());
        assertEquals(State.OPEN, client.state());
    }

    @Test
    public void laterClientResumesByEpochAndSeq() throws Exception {
        Server server = server("");
        start(new ICometConf(server.url()).channel("a", 1));
        push(server, "a", 1, 2);
        told.await("a 2: 2");
        client.stop();
        assertTrue(client.awaitEnd(30, TimeUnit.SECONDS));
        push(server, "a", 3, 4);
        Recorder later = new Recorder();
        ICometConf conf = new ICometConf(server.url()).channel("a", client.nextSeq("a"), client.epoch("a")).listener(later);
        client = new ICometClient(conf).start();
        later.await("a 4: 4");
        assertEquals(numbered("a", 3, 4), later.events());
    }

    @Test
    public void tellsWhatIsLost() throws Exception {
        Server server = server("channel_buffer_size 3;");
        Proxy proxy = proxy(server, Proxy.Streams.PASS);
        start(new ICometConf(proxy.url()).channel("a", 1));
        push(server, "a", 1, 2);
        told.await("a 2: 2");
        proxy.cut();
        told.await("RECONNECTING");
        push(server, "a", 3, 10);
        proxy.mend();
        told.await("a 10: 10");
        List<String> expected = numbered("a", 1, 2);
        expected.add("lost a 5");
        expected.addAll(numbered("a", 8, 10));
        assertEquals(expected, told.events());
    }

    @Test
    public void anotherEpochIsALossForEachChannel() throws Exception {
        Server server = server("");
        start(new ICometConf(server.url()).channel("a", 1).channel("b", 1));
        push(server, "a", 1, 3);
        push(server, "b", 1, 3);
        told.await("a 3: 3");
        told.await("b 3: 3");
        String before = client.epoch("a");
        server.restart();
        told.await("lost a -1");
        told.await("lost b -1");
        push(server, "a", 1, 1);
        told.awaitTimes("a 1: 1", 2);
        assertNotEquals(before, client.epoch("a"));
        assertEquals(1, told.events().stream().filter("lost a -1"::equals).count());
    }

    @Test
    public void aChannelThatBeganAgainIsALoss() throws Exception {
        Server server = server("");
        Proxy proxy = proxy(server, Proxy.Streams.PASS);
        start(new ICometConf(proxy.url()).channel("a", 1));
        push(server, "a", 1, 5);
        told.await("a 5: 5");
        proxy.cut();
        told.await("RECONNECTING");
        server.admin("close?cname=a");
        push(server, "a", 1, 2);
        proxy.mend();
        told.awaitTimes("a 2: 2", 2);
        List<String> expected = numbered("a", 1, 5);
        expected.add("lost a -1");
        expected.addAll(numbered("a", 1, 2));
        assertEquals(expected, told.events());
    }

    @Test
    public void aChannelThatBeganAgainAndHasMoreThanBeforeIsALoss() throws Exception {
        for (boolean streaming : new boolean[] {true, false}) {
            String name = "again" + streaming;
            Server server = server("");
            Proxy proxy = proxy(server, Proxy.Streams.PASS);
            Recorder recorder = new Recorder();
            ICometConf conf = new ICometConf(proxy.url()).channel(name, 1).channel("other", 1).streaming(streaming);
            ICometClient one = new ICometClient(conf.listener(recorder)).start();
            push(server, name, 1, 3);
            recorder.await(name + " 3: 3");
            proxy.cut();
            recorder.await("RECONNECTING");
            server.admin("close?cname=" + name);
            push(server, name, 1, 7);
            push(server, "other", 1, 1);
            proxy.mend();
            recorder.await(name + " 7: 7");
            recorder.await("other 1: 1");
            List<String> expected = numbered(name, 1, 3);
            expected.add("lost " + name + " -1");
            expected.addAll(numbered(name, 1, 7));
            List<String> events = recorder.events();
            events.remove("other 1: 1");
            assertEquals(expected, events);
            one.stop();
            assertTrue(one.awaitEnd(30, TimeUnit.SECONDS));
        }
    }

    @Test
    public void comesBackToAClosedChannel() throws Exception {
        Server server = server("");
        start(new ICometConf(server.url()).channel("a"));
        told.await("OPEN");
        server.admin("close?cname=a");
        told.await("close a");
        told.awaitTimes("OPEN", 2);
        push(server, "a", 1, 1);
        told.await("a 1: 1");
    }

    @Test
    public void severalChannelsShareAConnection() throws Exception {
        Server server = server("channel_buffer_size 100;");
        Proxy proxy = proxy(server, Proxy.Streams.PASS);
        start(new ICometConf(proxy.url()).channel("a,b", 1).channel("c", 1).channel("\u00fc d", 1));
        for (int n = 1; n <= 2; n++) {
            push(server, "a,b", n, n);
            push(server, "c", n, n);
            push(server, "\u00fc d", n, n);
            told.await("a,b " + n + ": " + n);
            told.await("c " + n + ": " + n);
            told.await("\u00fc d " + n + ": " + n);
            proxy.cut();
            told.awaitTimes("RECONNECTING", n);
            proxy.mend();
            told.awaitTimes("OPEN", n + 1);
        }
        assertEquals(6, told.events().size());
    }

    @Test
    public void aRefusedTokenIsRefreshed() throws Exception {
        Server server = server("auth token;");
        AtomicInteger asked = new AtomicInteger();
        SignUrlAllocator sign = new SignUrlAllocator(server.signUrl(), new Transport(new ICometConf(server.url())));
        start(new ICometConf(server.url()).channel("a", 1).channel("b", 1).allocator(name -> {
            // The first is wrong.
            return name.equals("a") && asked.incrementAndGet() == 1 ? new Channel(name, "wrong") : sign.allocate(name);
        }));
        told.await("refused a 401");
        told.await("OPEN");
        push(server, "a", 1, 1);
        push(server, "b", 1, 1);
        told.await("a 1: 1");
        told.await("b 1: 1");
        assertEquals(2, asked.get());
        // Another channel of that name has another token.
        server.admin("close?cname=a");
        told.await("close a");
        told.awaitTimes("refused a 401", 2);
        Await.until("a third token", () -> asked.get() >= 3);
        Await.until("a is subscribed", () -> server.admin("info?cname=a").contains("\"subscribers\": 1"));
        server.push("a", "of the new channel");
        told.await("a 1: of the new channel");
        assertTrue("its end was told", told.events().contains("lost a -1"));
    }

    @Test
    public void signUrlGivesTheToken() throws Exception {
        Server server = server("auth token;");
        start(new ICometConf(server.url()).channel("a").signUrl(server.signUrl()));
        told.await("OPEN");
        push(server, "a", 1, 1);
        told.await("a 1: 1");
        assertEquals(Collections.singletonList("a 1: 1"), told.events());
    }

    @Test
    public void withoutAnAllocatorTheOthersGoOn() throws Exception {
        Server server = server("max_subscribers_per_channel 1;");
        Server other = server;
        Recorder first = new Recorder();
        ICometClient holder = new ICometClient(new ICometConf(server.url()).channel("full").listener(first)).start();
        first.await("OPEN");
        Await.until("it is subscribed", () -> other.admin("info?cname=full").contains("\"subscribers\": 1"));
        start(new ICometConf(server.url()).channel("full").channel("free", 1));
        told.await("refused full 429");
        push(server, "free", 1, 1);
        told.await("free 1: 1");
        holder.stop();
        assertTrue(holder.awaitEnd(30, TimeUnit.SECONDS));
        Await.until("its place is taken", () -> {
            push(server, "full", 1, 1);
            return told.events().stream().anyMatch(each -> each.startsWith("full "));
        });
    }

    @Test
    public void survivesReloadAndKill() throws Exception {
        Server server = server("channel_buffer_size 1000;");
        start(new ICometConf(server.url()).channel("a", 1));
        told.await("OPEN");
        push(server, "a", 1, 5);
        server.reload();
        push(server, "a", 6, 10);
        told.await("a 10: 10");
        server.killWorkers();
        push(server, "a", 11, 15);
        told.await("a 15: 15");
        server.reload();
        push(server, "a", 16, 20);
        told.await("a 20: 20");
        assertEquals(numbered("a", 1, 20), told.events());
    }

    @Test
    public void randomCutsLoseAndRepeatNothing() throws Exception {
        int seconds = Integer.getInteger("icomet.cuts.seconds", 10);
        Server server = server("channel_buffer_size 10000;");
        Proxy proxy = proxy(server, Proxy.Streams.PASS);
        start(new ICometConf(proxy.url()).channel("a", 1).channel("b", 1));
        Random random = new Random(7);
        long end = System.nanoTime() + seconds * 1_000_000_000L;
        int sent = 0;
        int cuts = 0;
        while (System.nanoTime() < end) {
            sent++;
            push(server, "a", sent, sent);
            push(server, "b", sent, sent);
            if (random.nextInt(40) == 0) {
                proxy.cut();
                proxy.mend();
                cuts++;
            }
            Thread.sleep(5);
        }
        told.await("a " + sent + ": " + sent);
        told.await("b " + sent + ": " + sent);
        List<String> ofA = new ArrayList<>(told.events());
        ofA.removeIf(each -> each.startsWith("b "));
        assertEquals(numbered("a", 1, sent), ofA);
        List<String> ofB = new ArrayList<>(told.events());
        ofB.removeIf(each -> each.startsWith("a "));
        assertEquals(numbered("b", 1, sent), ofB);
        assertTrue("there were cuts", cuts > 0);
    }

    /** On the JDK a stream's reader looks up once a second, and reads on: nothing of that may end the connection. */
    private void readsOnAQuietStream(Server server, String url) throws Exception {
        start(new ICometConf(url).channel("a", 1));
        told.await("OPEN");
        for (int n = 1; n <= 3; n++) {
            // Longer than what the reader waits.
            Thread.sleep(2300);
            push(server, "a", n, n);
            told.await("a " + n + ": " + n);
        }
        client.stop();
        assertTrue(client.awaitEnd(30, TimeUnit.SECONDS));
        assertEquals(Arrays.asList("CONNECTING", "OPEN", "a 1: 1", "a 2: 2", "a 3: 3", "CLOSED"), told.told());
    }

    @Test
    public void aQuietStreamIsReadOn() throws Exception {
        Server server = server("");
        readsOnAQuietStream(server, server.url());
    }

    @Test
    public void aQuietStreamIsReadOnByTls() throws Exception {
        Certificate certificate = new Certificate();
        Server server = new Server("", certificate);
        opened.add(server);
        SSLSocketFactory before = HttpsURLConnection.getDefaultSSLSocketFactory();
        HttpsURLConnection.setDefaultSSLSocketFactory(certificate.trusting);
        opened.add(() -> HttpsURLConnection.setDefaultSSLSocketFactory(before));
        readsOnAQuietStream(server, server.tlsUrl());
    }

    @Test
    public void pollsWhereStreamsAreHeldBack() throws Exception {
        Server server = server("");
        Proxy proxy = proxy(server, Proxy.Streams.HOLD);
        start(new ICometConf(proxy.url()).channel("a", 1).idleTimeoutMillis(3000));
        told.await("OPEN");
        told.await("RECONNECTING");
        told.awaitTimes("OPEN", 2);
        push(server, "a", 1, 1);
        told.await("a 1: 1");
        push(server, "a", 2, 3);
        told.await("a 3: 3");
        assertEquals(numbered("a", 1, 3), told.events());
    }

    @Test
    public void pollsWhereStreamsAreCutRightAfterTheirHead() throws Exception {
        Server server = server("polling_timeout 5s;");
        Proxy proxy = proxy(server, Proxy.Streams.CUT);
        start(new ICometConf(proxy.url()).channel("a", 1));
        told.awaitTimes("RECONNECTING", 3);
        told.awaitTimes("OPEN", 4);
        int streams = proxy.streams.get();
        push(server, "a", 1, 1);
        told.await("a 1: 1");
        push(server, "a", 2, 3);
        told.await("a 3: 3");
        assertEquals(numbered("a", 1, 3), told.events());
        assertEquals(3, streams);
        assertEquals(3, proxy.streams.get());
    }

    @Test
    public void pollingAloneResumesToo() throws Exception {
        Server server = server("channel_buffer_size 100;");
        Proxy proxy = proxy(server, Proxy.Streams.PASS);
        start(new ICometConf(proxy.url()).channel("a", 1).streaming(false));
        push(server, "a", 1, 3);
        told.await("a 3: 3");
        proxy.cut();
        told.await("RECONNECTING");
        push(server, "a", 4, 6);
        proxy.mend();
        told.await("a 6: 6");
        server.killWorkers();
        push(server, "a", 7, 8);
        told.await("a 8: 8");
        assertEquals(numbered("a", 1, 8), told.events());
    }

    @Test
    public void stopsFromAnyThreadInAnyState() throws Exception {
        Server server = server("");
        for (boolean streaming : new boolean[] {true, false}) {
            Recorder recorder = new Recorder();
            ICometClient open = new ICometClient(new ICometConf(server.url()).channel("a").streaming(streaming).listener(recorder)).start();
            recorder.await("OPEN");
            Await.until("it waits", () -> server.admin("info?cname=a").contains("\"subscribers\": 1"));
            open.stop();
            assertTrue("open, streaming " + streaming, open.awaitEnd(30, TimeUnit.SECONDS));
            Await.until("it has gone", () -> !server.admin("info?cname=a").contains("\"subscribers\": 1"));
        }
        Proxy proxy = proxy(server, Proxy.Streams.PASS);
        proxy.cut();
        Recorder recorder = new Recorder();
        ICometClient waiting = new ICometClient(new ICometConf(proxy.url()).channel("a").listener(recorder)).start();
        recorder.await("RECONNECTING");
        waiting.stop();
        assertTrue("while it waits", waiting.awaitEnd(30, TimeUnit.SECONDS));
        AtomicInteger asked = new AtomicInteger();
        ICometClient allocating = new ICometClient(new ICometConf(server.url()).channel("a").listener(new Recorder()).allocator(name -> {
            asked.incrementAndGet();
            try {
                Thread.sleep(600_000);
            } catch (InterruptedException interrupted) {
                throw new java.io.IOException(interrupted);
            }
            return null;
        })).start();
        Await.until("it is asked", () -> asked.get() > 0);
        allocating.stop();
        assertTrue("while it allocates", allocating.awaitEnd(30, TimeUnit.SECONDS));
    }

    @Test
    public void stopsWithinItsListener() throws Exception {
        Server server = server("");
        push(server, "a", 1, 5);
        Recorder stopping = new Recorder() {
            @Override
            public void onMessage(Message message) {
                super.onMessage(message);
                client.stop();
            }
        };
        client = new ICometClient(new ICometConf(server.url()).channel("a", 1).listener(stopping));
        client.run();
        assertEquals(Arrays.asList("CONNECTING", "a 1: 1", "CLOSED"), stopping.told());
        assertEquals(2, client.nextSeq("a"));
    }

    @Test
    public void aListenerThatThrowsGoesOn() throws Exception {
        Server server = server("");
        AtomicInteger problems = new AtomicInteger();
        Recorder throwing = new Recorder() {
            @Override
            public void onMessage(Message message) {
                super.onMessage(message);
                throw new IllegalStateException("on purpose");
            }

            @Override
            public synchronized void onProblem(Exception problem) {
                problems.incrementAndGet();
            }
        };
        client = new ICometClient(new ICometConf(server.url()).channel("a", 1).listener(throwing)).start();
        push(server, "a", 1, 3);
        throwing.await("a 3: 3");
        assertEquals(numbered("a", 1, 3), throwing.events());
        Await.until("it is told of them", () -> problems.get() == 3);
    }

    @Test
    public void readsBlocking() throws Exception {
        Server server = server("channel_buffer_size 3;");
        push(server, "a", 1, 5);
        MessageReader reader = new MessageReader(new ICometConf(server.url()).channel("a", 1));
        opened.add(reader);
        try {
            reader.next();
            fail("nothing was told lost");
        } catch (MessagesLostException lost) {
            assertEquals(2, lost.count());
            assertEquals("a", lost.channel());
        }
        for (int n = 3; n <= 5; n++) {
            assertEquals("a " + n + ": " + n, reader.next().toString());
        }
        assertNull(reader.next(10, TimeUnit.MILLISECONDS));
        Thread closer = new Thread(reader::close);
        closer.start();
        assertNull(reader.next());
        closer.join();
        assertTrue(reader.awaitEnd(30, TimeUnit.SECONDS));
    }
}
