<?php
// Lets users listen: php -S 127.0.0.1:8001 sign.php answers what a client's signUrl asks, GET /sign?cname=CHANNEL[&cb=CALLBACK].

define('ADMIN', getenv('ICOMET_ADMIN') ?: 'http://127.0.0.1:8080/icomet-admin');
const TIMEOUT = 5; // seconds

/** Who asks. A real site looks into its session here: a plain cookie can be forged by anybody. */
function user(): ?string
{
    $user = (string) filter_input(INPUT_COOKIE, 'user');
    return preg_match('/^[A-Za-z0-9_-]+$/D', $user) ? $user : null;
}

function mayListen(?string $user, string $channel): bool
{
    return str_starts_with($channel, 'public.') || ($user !== null && $channel === "user.$user");
}

function answer(int $status, string $body, string $type = 'text/plain'): never
{
    http_response_code($status);
    header("Content-Type: $type; charset=utf-8");
    header('Cache-Control: no-store');
    echo $body;
    exit;
}

$channel = (string) filter_input(INPUT_GET, 'cname');
$callback = (string) filter_input(INPUT_GET, 'cb');
// The answer is a script that calls it: it must be a name and nothing else.
if ($callback !== '' && !preg_match('/^[A-Za-z0-9_$.]{1,128}$/D', $callback)) {
    answer(400, "cb must be a function's name\n");
}
if (!mayListen(user(), $channel)) {
    answer(403, "you may not listen to this channel\n");
}
$asked = ['cname' => $channel, 'expires' => 60] + ($callback !== '' ? ['cb' => $callback] : []);
$context = stream_context_create(['http' => ['timeout' => TIMEOUT, 'ignore_errors' => true]]);
$stream = @fopen(ADMIN . '/sign?' . http_build_query($asked), 'r', false, $context);
if ($stream === false) {
    error_log('no answer from ' . ADMIN . ': ' . error_get_last()['message']);
    answer(502, "icomet cannot be reached\n");
}
$status = (int) explode(' ', stream_get_meta_data($stream)['wrapper_data'][0])[1];
$type = $callback !== '' ? 'text/javascript' : 'application/json';
answer($status, stream_get_contents($stream), $status === 200 ? $type : 'text/plain');
