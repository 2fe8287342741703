#!/usr/bin/env php
<?php
// Publishes a text: push.php CHANNEL TEXT [ID]. Prints icomet's answer. A text with an ID is published once, however often it is sent.

define('ADMIN', getenv('ICOMET_ADMIN') ?: 'http://127.0.0.1:8080/icomet-admin');
const TIMEOUT = 5; // seconds

/** Status and body; null without an answer. */
function send(string $body): ?array
{
    $stream = @fopen(ADMIN . '/api/publish', 'r', false, stream_context_create(['http' => [
        'method' => 'POST',
        'header' => 'Content-Type: application/json',
        'content' => $body,
        'timeout' => TIMEOUT,
        'ignore_errors' => true, // the body of a refusal says why
    ]]));
    if ($stream === false) {
        return null;
    }
    $answer = stream_get_contents($stream);
    $about = stream_get_meta_data($stream);
    return $about['timed_out'] ? null : [(int) explode(' ', $about['wrapper_data'][0])[1], $answer];
}

/** icomet's answer, as JSON. */
function publish(string $channel, string $text, string $id): string
{
    $body = json_encode(['channel' => $channel, 'content' => $text, 'id' => $id], JSON_THROW_ON_ERROR);
    // Without an answer nobody knows whether it was published. The same id again makes sure, and publishes nothing twice.
    $answer = send($body) ?? send($body);
    if ($answer === null) {
        throw new RuntimeException('no answer from ' . ADMIN . ': ' . (error_get_last()['message'] ?? 'timed out'));
    }
    if ($answer[0] !== 200) {
        throw new RuntimeException("icomet answered $answer[0]: $answer[1]");
    }
    return $answer[1];
}

if ($argc !== 3 && $argc !== 4) {
    fwrite(STDERR, "usage: push.php CHANNEL TEXT [ID]\n");
    exit(1);
}
try {
    echo rtrim(publish($argv[1], $argv[2], $argv[3] ?? bin2hex(random_bytes(16)))), "\n";
} catch (RuntimeException | JsonException $error) {
    fwrite(STDERR, "push: {$error->getMessage()}\n");
    exit(1);
}
