# Mistakes in `hook` and `node`: nginx does not start, and says what is wrong and what would be right.

use FindBin;
use lib "$FindBin::Bin/lib";
use IcometTest;
use Test::Nginx::Socket 'no_plan';

set_up();
run_tests();

__DATA__

=== TEST 1: hook: no URL
--- http_config
    icomet_hub main { hook; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*"hook" takes a URL.* in \S*nginx\.conf:\d+}]



=== TEST 2: hook: no events
--- http_config
    icomet_hub main { hook http://127.0.0.1/; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*hook http://127\.0\.0\.1/: "events" is missing: name some of online, offline.* in \S*nginx\.conf:\d+}]



=== TEST 3: hook: an unknown event
--- http_config
    icomet_hub main { hook http://127.0.0.1/ events=online,all; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*"all" in "events" is no event.* in \S*nginx\.conf:\d+}]



=== TEST 4: hook: no scheme
--- http_config
    icomet_hub main { hook 127.0.0.1/hook events=online; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*the URL of hook "127\.0\.0\.1/hook" is no URL.* in \S*nginx\.conf:\d+}]



=== TEST 5: hook: another scheme
--- http_config
    icomet_hub main { hook ftp://127.0.0.1/ events=online; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*must begin with "http://" or "https://".* in \S*nginx\.conf:\d+}]



=== TEST 6: hook: a password in the URL is refused, and not shown
--- http_config
    icomet_hub main { hook http://me:word@127.0.0.1/ events=online; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*the URL of hook "http://\.\.\.\@127\.0\.0\.1/" names a user.* in \S*nginx\.conf:\d+}]



=== TEST 7: hook: an unknown option
--- http_config
    icomet_hub main { hook http://127.0.0.1/ events=online retries=3; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*there is no option "retries".* in \S*nginx\.conf:\d+}]



=== TEST 8: hook: an option twice
--- http_config
    icomet_hub main { hook http://127.0.0.1/ events=online batch=1 batch=2; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*"batch" is duplicate.* in \S*nginx\.conf:\d+}]



=== TEST 9: hook: no secret file
--- http_config
    icomet_hub main { hook http://127.0.0.1/ events=online secret=/nowhere/secret; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*secret "/nowhere/secret" cannot be read: No such file.* in \S*nginx\.conf:\d+}]



=== TEST 10: hook: a secret that is empty
--- http_config
    icomet_hub main { hook http://127.0.0.1/ events=online secret=/dev/null; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*secret "/dev/null" holds 0 bytes: use 16 to 4096.* in \S*nginx\.conf:\d+}]



=== TEST 11: hook: no ca file
--- http_config
    icomet_hub main { hook https://127.0.0.1/ events=online ca=/nowhere/ca; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*ca "/nowhere/ca" cannot be read.* in \S*nginx\.conf:\d+}]



=== TEST 12: hook: a ca file without certificates
--- http_config
    icomet_hub main { hook https://127.0.0.1/ events=online ca=/dev/null; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*ca "/dev/null" holds no certificate.* in \S*nginx\.conf:\d+}]



=== TEST 13: hook: timeout too short
--- http_config
    icomet_hub main { hook http://127.0.0.1/ events=online timeout=10ms; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*invalid timeout "10ms": use a time from 100ms to 60s.* in \S*nginx\.conf:\d+}]



=== TEST 14: hook: batch of none
--- http_config
    icomet_hub main { hook http://127.0.0.1/ events=online batch=0; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*invalid batch "0": use a number from 1 to 10000.* in \S*nginx\.conf:\d+}]



=== TEST 15: hook: queue too long
--- http_config
    icomet_hub main { hook http://127.0.0.1/ events=online queue=1000001; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*invalid queue "1000001": use a number from 1 to 1000000.* in \S*nginx\.conf:\d+}]



=== TEST 16: hook: twice the same
--- http_config
    icomet_hub main { hook http://127.0.0.1/ events=online; hook http://127.0.0.1/ events=offline; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*hook http://127\.0\.0\.1/ is duplicate.* in \S*nginx\.conf:\d+}]



=== TEST 17: node: a name that is none
--- http_config
    icomet_hub main { node "a b"; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*invalid node "a b".* in \S*nginx\.conf:\d+}]



=== TEST 18: hook: a secret without an end
--- http_config
    icomet_hub main { hook http://127.0.0.1/ events=online secret=/dev/zero; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*secret "/dev/zero" holds more than 4096 bytes: use 16 to 4096.* in \S*nginx\.conf:\d+}]



=== TEST 19: hook: a ca file without an end
--- http_config
    icomet_hub main { hook https://127.0.0.1/ events=online ca=/dev/zero; }
--- must_die
--- error_log eval
[qr{\[emerg\] .*ca "/dev/zero" has more than 4 MB.* in \S*nginx\.conf:\d+}]
