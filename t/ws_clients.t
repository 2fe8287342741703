# ws: clients of others, as users have them: Python's websockets and npm's ws.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

# Where Debian's packages stand, for a node that is not Debian's as well.
$ENV{NODE_PATH} ||= '/usr/share/nodejs';

our %CLIENTS = (
    "Python's websockets" => ['/usr/bin/python3', "$FindBin::Bin/lib/ws_client.py"],
    "npm's ws" => ['node', "$FindBin::Bin/lib/ws_client.js"],
);

set_up();
run_tests();

__DATA__

=== TEST 1: they agree on compression and the sub-protocol, get messages, ping, send, close
--- play
for my $client (sort keys %CLIENTS) {
    my $cname = $client =~ /npm/ ? 'npm' : 'python';
    push_ok($cname, 'short');
    push_ok($cname, 'x' x 3000);
    my $url = 'ws://localhost:' . Test::Nginx::Util::server_port() . "/icomet/ws?cname=$cname&seq=1";
    my $pid = open my $out, '-|', 'timeout', $IcometTest::Conn::DEADLINE, @{ $CLIENTS{$client} }, $url or die "cannot start $client: $!";
    same(join('', map { scalar <$out> } 1 .. 3) =~ s/extensions \['(.*)'\]/extensions $1/r,
        "subprotocol icomet.v1\nextensions permessage-deflate\ndata 1 5\n", "$client: beginning");
    same(scalar <$out>, "data 2 3000\n", "$client: a compressed message");
    push_ok($cname, 'y' x 100_000);
    same(scalar <$out>, "data 3 100000\n", "$client: a live one");
    same(join('', <$out>), "pong\nreply 5\nclosed 1000\n", "$client: end");
    close $out;
    same($?, 0, "$client: exit status");
    await_subscribers($cname, 0);
}
