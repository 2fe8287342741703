package IcometTest;

# What the suites share on top of Test::Nginx.
#
# A block may have, beside Test::Nginx's own sections:
#   --- hub     parameters put into "icomet_hub main { zone 16m; ... }"
#   --- play    Perl that runs when nginx serves; it uses the functions below. Afterwards the block
#               asks /alive, so that a dead worker fails it, and an [error] in the log does as well
#               unless the block says --- error_log or --- no_error_log itself.
# A block without --- config gets the two locations of the README.
#
# Environment: ICOMET_TEST_WORKERS (default 1), ICOMET_TEST_DEADLINE (seconds, default 60),
# ICOMET_TEST_PARK ("off" puts "icomet_park off;" into each block's http configuration; default: nothing).

use strict;
use warnings;

use Cwd ();
use File::Basename qw(dirname);
use File::Temp qw(tempdir);

# Each file gets a port and a folder of its own, so that "prove -j2" works; before Test::Nginx loads.
BEGIN {
    $ENV{TEST_NGINX_RANDOMIZE} = 1 unless defined $ENV{TEST_NGINX_RANDOMIZE};
    # Connections are then spread over all workers. Test::Nginx cannot combine it with HUP.
    $ENV{TEST_NGINX_REUSE_PORT} = 1
        if ($ENV{ICOMET_TEST_WORKERS} || 1) > 1 && !$ENV{TEST_NGINX_USE_HUP};
    # What "cargo build --release" left, unless another nginx or module is meant.
    my $built = Cwd::abs_path(dirname(__FILE__) . '/../..') . '/target/release';
    $ENV{TEST_NGINX_BINARY} ||= "$built/nginx-objs/nginx";
    $ENV{TEST_NGINX_LOAD_MODULES} ||= "$built/libngx_http_icomet_module.so";
    for (@ENV{qw(TEST_NGINX_BINARY TEST_NGINX_LOAD_MODULES)}) {
        -e or do { print "Bail out! $_ is not there: build it, or set TEST_NGINX_BINARY and TEST_NGINX_LOAD_MODULES\n"; exit 255 };
    }
}

use Exporter qw(import);
use IcometTest::Conn;
use JSON::PP qw(decode_json);
use Test::More ();
use Time::HiRes qw(time);

our @EXPORT = qw(
    set_up same matches answers errors get post http conn port subscribe push_ok
    await_subscribers await_check subscribers until_true message carries_on ends_politely data quoted encode epoch_of told_epoch zone_epoch worker_pids master_pid rewrite_config reload stopped
    api present post_json post_text refused problem access_log_line log_entry log_entries error_log_has LOCATIONS
);

use constant LOCATIONS => <<'END';
    location ~ ^/icomet/        { icomet_sub main; }
    location ~ ^/icomet-admin/  { allow 127.0.0.1; deny all; icomet_pub main; }
END

my $name = '';
my @held;

# Readies Test::Nginx; called by each suite before run_tests. "single": without a master process; "tls": with a
# certificate in $TEST_NGINX_CERT_DIR.
sub set_up {
    my (%o) = @_;
    if ($o{tls}) {
        my $dir = $ENV{TEST_NGINX_CERT_DIR} = tempdir(CLEANUP => 1);
        system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout $dir/key.pem -out $dir/cert.pem 2>$dir/openssl.log") == 0
            or die "openssl cannot make a certificate\n";
    }
    if ($o{single}) {
        Test::Nginx::Util::master_off();
        Test::Nginx::Util::workers(1);
    }
    else {
        Test::Nginx::Util::master_on();
        Test::Nginx::Util::workers($o{workers} || $ENV{ICOMET_TEST_WORKERS} || 1);
    }
    Test::Nginx::Util::worker_connections(1024);
    # "debug" would be the default, and most of a run's time.
    Test::Nginx::Util::log_level($ENV{TEST_NGINX_LOG_LEVEL} || 'info');
    Test::Nginx::Util::timeout($IcometTest::Conn::DEADLINE);
    Test::Nginx::Util::no_long_string();
    &Test::Nginx::Util::add_block_preprocessor(\&_complete);
    return;
}

sub _complete {
    my ($block) = @_;
    my $play = $block->play;
    if (defined $block->must_die) {
        # The hub's parameters may be what is wrong.
        $block->set_value(http_config => _hub($block)) if !defined $block->http_config;
        $block->set_value(config => LOCATIONS) if !defined $block->config;
        return;
    }
    my $config = $block->config // LOCATIONS;
    if (defined $play) {
        $config .= qq{\n    location = /alive { return 200 "alive\\n"; }\n};
        if (!defined $block->request) {
            $block->set_value(request => 'GET /alive');
            $block->set_value(response_body => "alive\n");
        }
        my $title = $block->name;
        $block->set_value(init => sprintf 'IcometTest::play(%s, %s)', _perl($title), _perl($play));
    }
    $block->set_value(config => $config);
    $block->set_value(http_config => _hub($block)) if !defined $block->http_config;
    $block->set_value(http_config => "    icomet_park off;\n" . $block->http_config)
        if ($ENV{ICOMET_TEST_PARK} // '') eq 'off';
    if (!defined $block->error_log && !defined $block->no_error_log) {
        $block->set_value(no_error_log => "[error]\n[alert]\n[crit]\n[emerg]\n");
    }
    return;
}

sub _hub {
    my ($block) = @_;
    my $parameters = $block->hub // '';
    my $zone = $parameters =~ /\bzone\b/ ? '' : 'zone 16m;';
    return "    icomet_hub main { $zone $parameters }\n";
}

sub _perl {
    my ($text) = @_;
    $text =~ s/([\\'])/\\$1/g;
    return "'$text'";
}

# Runs a block's --- play; a death in it fails the block, not the whole suite.
sub play {
    my ($title, $code) = @_;
    $name = $title;
    # Under valgrind nginx may not listen yet; what a block starts beside our own client does not wait for it.
    # A whole request, so that no connection of ours is accepted only while the block runs.
    my $up = eval { get('/alive'); 1 };
    my $done = $up && eval "package main; no strict; no warnings 'redefine'; $code; 1";
    Test::More::fail("$title - play: $@") unless $done;
    @held = ();
    return;
}

# --- comparing

sub _show {
    my ($text) = @_;
    return 'undef' unless defined $text;
    $text =~ s/([^\x20-\x7e])/sprintf '\\x%02x', ord $1/ge;
    my $cut = length $text > 2000 ? substr($text, 0, 2000) . '... (' . length($text) . ')' : $text;
    return $cut;
}

# Byte for byte.
sub same {
    my ($got, $expected, $what) = @_;
    my $equal = defined $got && defined $expected ? $got eq $expected : !defined $got && !defined $expected;
    Test::More::ok($equal, "$name - $what")
        or Test::More::diag('     got: ' . _show($got) . "\nexpected: " . _show($expected));
    return $equal;
}

sub matches {
    my ($got, $pattern, $what) = @_;
    my $matched = defined $got && $got =~ $pattern;
    Test::More::ok($matched, "$name - $what")
        or Test::More::diag('     got: ' . _show($got) . "\nexpected: $pattern");
    return $matched;
}

# --- asking

sub conn {
    my ($port, %o) = @_;
    return IcometTest::Conn->new($port || Test::Nginx::Util::server_port(), %o);
}

# The port that stands in the configuration as $TEST_NGINX_RAND_PORT_N.
sub port { return $Test::Nginx::Util::RandPorts->{"TEST_NGINX_RAND_PORT_$_[0]"} }

# One request on a connection of its own, which is read to its end.
sub http {
    my ($method, $uri, %o) = @_;
    my $conn = conn($o{port}, tls => $o{tls});
    $conn->request($method, $uri, close => 1, %o);
    $conn->head;
    $conn->{text} = $conn->rest;
    $conn->leave;
    return $conn;
}

sub get { return http('GET', @_)->{text} }

# POST with a form; the body of the answer.
sub post {
    my ($uri, $body, %o) = @_;
    return http('POST', $uri, body => $body, %o)->{text};
}

# A request whose answer is known: status, body, and header fields by name (undef: must be absent).
sub answers {
    my ($request, $status, $body, %o) = @_;
    my ($method, $uri) = split / /, $request, 2;
    my $headers = delete $o{expect} || {};
    my $answer = http($method, $uri, %o);
    my $short = length $uri > 100 ? substr($uri, 0, 100) . '...' : $uri;
    same($answer->{status}, $status, "$method $short: status");
    if (ref $body) { matches($answer->{text}, $body, "$method $short: body") }
    else           { same($answer->{text}, $body, "$method $short: body") }
    same($answer->header($_), $headers->{$_}, "$method $short: $_") for sort keys %$headers;
    return $answer;
}

# A request that is refused with a JSON body of the error's form.
sub errors {
    my ($request, $status, $text, %o) = @_;
    my $cname = quoted(delete $o{cname} // '');
    my $pattern = ref $text ? $text : qr/\Q$text\E/;
    return answers(
        $request, $status,
        qr/\A\{"type":"$status","cname":"\Q$cname\E","seq":0,"content":"[^"\n]*(?i:$pattern)[^"\n]*"\}\n\z/,
        expect => { 'Content-Type' => 'application/json; charset=utf-8', %{ delete $o{expect} || {} } }, %o
    );
}

# --- the JSON API

# POST with a body of that type.
sub post_text {
    my ($uri, $type, $body) = @_;
    return http('POST', $uri, body => $body, type => $type);
}

sub post_json {
    my ($operation, $body, $type) = @_;
    return post_text("/icomet-admin/api/$operation", $type // 'application/json', $body);
}

# POST of JSON (undef: GET) to an operation, and what is answered.
sub api {
    my ($operation, $body, $status, $expected, %o) = @_;
    my $path = $o{path} // "/icomet-admin/api/$operation";
    my $answer = defined $body ? post_text($path, 'application/json', $body) : http('GET', $path);
    my $type = $status < 300 ? 'application/json' : 'application/problem+json';
    my $short = defined $body ? substr($body, 0, 100) : '';
    same($answer->{status}, $status, "$path $short: status");
    same($answer->header('Content-Type'), "$type; charset=utf-8", "$path $short: Content-Type");
    return matches($answer->{text}, ref $expected ? $expected : qr/\A\Q$expected\E\z/, "$path $short: body");
}

# A problem detail of that code.
sub problem {
    my ($code, $more) = @_;
    $more //= '';
    return qr/\A\{"type":"about:blank","title":"[A-Z][A-Za-z ]+","status":\d+,"code":"$code","detail":"(?:[^"\\\n]|\\")+"$more\}\n\z/;
}

# An answer that is a problem detail. Options: pointer, parameter.
sub refused {
    my ($answer, $status, $code, %o) = @_;
    my ($place) = grep { defined $o{$_} } qw(pointer parameter);
    my $more = $place ? qr/,"$place":"\Q$o{$place}\E"/ : '';
    same($answer->{status}, $status, "$code: status");
    same($answer->header('Content-Type'), 'application/problem+json; charset=utf-8', "$code: Content-Type");
    matches($answer->{text}, qr/"status":$status,/, "$code: status in the body");
    return matches($answer->{text}, problem($code, $more), "$code: body");
}

# What presence tells of a channel: "subscribers users: user=connections ..."
sub present {
    my ($cname, $path) = @_;
    $path //= '/icomet-admin/api/presence?channel=';
    my ($told, %members, $cursor);
    do {
        $told = decode_json(get("$path$cname&limit=2" . (defined $cursor ? "&cursor=$cursor" : '')));
        return 'no such channel' if ($told->{code} // '') eq 'no_such_channel';
        for (@{ $told->{members} }) {
            die "$_->{user} is listed twice" if exists $members{ $_->{user} };
            $members{ $_->{user} } = $_->{connections};
        }
        $cursor = $told->{cursor};
    } while defined $cursor;
    return join ' ', "$told->{subscribers} $told->{users}:", map { "$_=$members{$_}" } sort keys %members;
}

# --- channels

# Percent-encodes a parameter's value.
sub encode {
    my ($text) = @_;
    $text =~ s/([^A-Za-z0-9_.-])/sprintf '%%%02X', ord $1/ge;
    return $text;
}

# A string as it stands in JSON (the protocol's escapes).
sub quoted {
    my ($text) = @_;
    my %short = ("\n" => 'n', "\r" => 'r', "\t" => 't', "\b" => 'b', "\f" => 'f', '"' => '"', '\\' => '\\');
    $text =~ s/([\x00-\x1f\x7f"\\])/$short{$1} ? "\\$short{$1}" : sprintf '\\u%04x', ord $1/ge;
    return $text;
}

# A message in the protocol's key order.
sub data {
    my ($cname, $seq, $content, $type) = @_;
    $type ||= 'data';
    return sprintf '{"type":"%s","cname":"%s","seq":%s,"content":"%s"}', $type, quoted($cname), $seq, quoted($content);
}

# Opens a subscriber and waits until the hub counts it. It stays until the block ends or it is told to
# leave: one that went away unnoticed would spoil the count. Options beside those of conn and request: before, bytes that are sent
# ahead of the request.
sub subscribe {
    my ($uri, %o) = @_;
    my ($cname) = $uri =~ /[?&]cname=([^&,]*)/;
    my $admin = delete $o{admin} // '/icomet-admin';
    my $before = subscribers($cname, $admin);
    my $conn = conn(delete $o{port}, map { $_ => delete $o{$_} } qw(tls narrow unix ipv6 from));
    $conn->write(delete $o{before}) if defined $o{before};
    $conn->request('GET', $uri, %o);
    push @held, $conn;
    until_true(sub {
        my $now = subscribers($cname, $admin);
        die "somebody else subscribed to $cname meanwhile: await all others first\n" if $now > $before + 1;
        return $now == $before + 1;
    }, "$uri is counted as a subscriber");
    return $conn;
}

sub subscribers {
    my ($cname, $admin) = @_;
    $admin //= '/icomet-admin';
    my $text = get("$admin/info?cname=$cname");
    $text =~ /"subscribers": (\d+)\}\n\z/ or die "no number of subscribers: $text";
    return $1;
}

# Waits for a condition, as long as the deadline lasts; never a fixed time.
sub until_true {
    my ($condition, $what) = @_;
    my $end = time + $IcometTest::Conn::DEADLINE;
    my $pause = 0.001;
    until ($condition->()) {
        die "did not come about within $IcometTest::Conn::DEADLINE s: $what\n" if time > $end;
        select undef, undef, undef, $pause;
        $pause *= 2 if $pause < 0.1;
    }
    return 1;
}

sub await_subscribers {
    my ($cname, $count, $admin) = @_;
    return until_true(sub { subscribers($cname, $admin) == $count }, "$cname has $count subscribers");
}

# Waits until a channel lives (1) or is gone (0).
sub await_check {
    my ($cname, $alive, $admin) = @_;
    $admin //= '/icomet-admin';
    my $expected = $alive ? qq({"$cname": 1}\n) : "{}\n";
    return until_true(sub { get("$admin/check?cname=$cname") eq $expected }, "$cname is " . ($alive ? 'there' : 'gone'));
}

sub push_ok {
    my ($cname, $content, $admin) = @_;
    $admin //= '/icomet-admin';
    my $text = post("$admin/push", 'cname=' . encode($cname) . '&content=' . encode($content));
    return 1 if $text eq qq({"type":"ok"}\n);
    return same($text, qq({"type":"ok"}\n), "push to $cname");
}

# Waits for a message on a subscriber of any transport.
sub message {
    my ($conn) = @_;
    my $line;
    1 until ($line = $conn->line) =~ /(\{"type".*\})/ or $line eq '';
    return $1;
}

# Publishes a message, which must reach a waiting subscriber of any transport as the next one, on the connection that it has.
# A long poll is answered by it; its answer says whether another request may follow.
sub carries_on {
    my ($conn, $cname, $seq, $what, $content) = @_;
    $content //= "m$seq";
    push_ok($cname, $content);
    return same(message($conn), data($cname, $seq, $content), "$what: message $seq");
}

# A subscription of a worker that exits is at its end: how, its transport says. "noop": the long poll's counter.
sub ends_politely {
    my ($conn, $transport, $cname, $what, $noop) = @_;
    my $rest = $conn->rest;
    if    ($transport eq 'sub') { same($rest, data($cname, $noop // 0, '', 'noop') . "\n", "$what: noop") }
    elsif ($transport eq 'sse') { matches($rest, qr/\A\n?retry: (?:[5-9]\d\d|[12]\d\d\d|3000)\n\z/, "$what: retry") }
    else                        { same($rest =~ /"type"/ ? $rest : '', '', "$what: nothing more") }
    same($conn->header('Connection'), 'close', "$what: Connection") if $transport eq 'sub';
    same($conn->end, 'complete', "$what: end");
    return same($conn->closed, '', "$what: closed");
}

# A channel's epoch, as a long poll's ETag tells it.
sub epoch_of {
    my ($cname, $front) = @_;
    $front //= '/icomet';
    my $answer = http('GET', "$front/sub?cname=$cname");
    my $etag = $answer->header('ETag') // 'none';
    $etag =~ /\A"([0-9a-f]{16}\.[0-9a-z]+)-\d+"\z/ or die "no epoch in the ETag: $etag";
    return $1;
}

# What who asks for the epoch is told.
sub told_epoch { my ($cname, $seq, $epoch) = @_; return data($cname, $seq, $epoch // epoch_of($cname), 'epoch') }

# What of it is the zone's.
sub zone_epoch { return epoch_of(@_) =~ s/\..*//r }

# --- nginx's side

sub master_pid {
    my ($pid) = _slurp($Test::Nginx::Util::PidFile) =~ /(\d+)/;
    return $pid;
}

# The workers that run now; one that is shutting down is not counted.
sub worker_pids {
    my $master = master_pid();
    return map { /^\s*(\d+)\s/ && !/shutting down/ ? $1 : () } split /\n/, `ps -o pid=,args= --ppid $master`;
}

# Replaces text in the configuration of a block while nginx runs; returns what it was.
sub rewrite_config {
    my ($edit) = @_;
    my $file = $Test::Nginx::Util::ConfFile;
    my $before = _slurp($file);
    local $_ = $before;
    $edit->();
    open my $out, '>', $file or die "cannot write $file: $!\n";
    print $out $_;
    close $out;
    return $before;
}

# Reloads and waits until no worker of before is left, so that a new one answers what follows.
sub reload {
    my @old = worker_pids();
    kill 'HUP', master_pid();
    return until_true(sub { !grep { kill 0, $_ } @old }, 'the old workers are gone');
}

# Stops processes while it does something, and continues them whatever happens.
sub stopped {
    my ($pids, $work) = @_;
    kill 'STOP', @$pids;
    my $done = eval { $work->(); 1 };
    my $error = $@;
    kill 'CONT', @$pids;
    die $error unless $done;
    return;
}

sub _slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "cannot read $file: $!\n";
    local $/;
    my $text = <$in>;
    return $text // '';
}

# Waits for a line of the access log (or another log in that folder) that matches.
sub access_log_line {
    my ($pattern, $file) = @_;
    my $path = defined $file ? Test::Nginx::Util::server_root() . "/logs/$file" : $Test::Nginx::Util::AccLogFile;
    my $line;
    until_true(sub { ($line) = grep { $_ =~ $pattern } split /^/m, _slurp($path) }, "a line like $pattern in $path");
    return $line;
}

# The lines of a log that match, each as a hash: its format is "NAME=VALUE|NAME=VALUE...".
sub log_entries {
    my ($pattern, $file) = @_;
    my $path = Test::Nginx::Util::server_root() . "/logs/$file";
    return map { chomp; +{ map { split /=/, $_, 2 } split /\|/ } } grep { $_ =~ $pattern } split /^/m, _slurp($path);
}

# Waits for such a line.
sub log_entry {
    my ($pattern, $file) = @_;
    access_log_line($pattern, $file);
    my @entries = log_entries($pattern, $file);
    same(scalar @entries, 1, "one line like $pattern");
    return $entries[0];
}

# Waits for a line of the error log.
sub error_log_has {
    my ($pattern) = @_;
    return until_true(sub { grep { $_ =~ $pattern } split /^/m, _slurp($Test::Nginx::Util::ErrLogFile) }, "$pattern in the error log");
}

1;
