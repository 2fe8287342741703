package io.github.icomet;

import java.util.ArrayList;
import java.util.List;

/** Keeps what a client told. */
class Recorder extends Listener {
    private final List<String> told = new ArrayList<>();
    private final List<String> problems = new ArrayList<>();

    private synchronized void add(String what) {
        told.add(what);
    }

    @Override
    public void onMessage(Message message) {
        add(message.toString());
    }

    @Override
    public void onState(State state) {
        add(state.toString());
    }

    @Override
    public void onLost(String channel, long count) {
        add("lost " + channel + " " + count);
    }

    @Override
    public void onRefused(String channel, int code, String why) {
        add("refused " + channel + " " + code);
    }

    @Override
    public void onClose(String channel) {
        add("close " + channel);
    }

    @Override
    public synchronized void onProblem(Exception problem) {
        problems.add(problem.toString());
    }

    /** What was told, but the states. */
    synchronized List<String> events() {
        List<String> events = new ArrayList<>(told);
        events.removeIf(each -> each.equals(each.toUpperCase()) && !each.contains(" "));
        return events;
    }

    synchronized List<String> told() {
        return new ArrayList<>(told);
    }

    void await(String event) throws Exception {
        awaitTimes(event, 1);
    }

    void awaitTimes(String event, long times) throws Exception {
        try {
            Await.until(event, () -> told().stream().filter(event::equals).count() >= times);
        } catch (AssertionError missing) {
            throw new AssertionError(missing.getMessage() + "; told: " + told() + ", problems: " + problems);
        }
    }
}
