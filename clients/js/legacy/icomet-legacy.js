// The constructor of icomet.js for browsers from IE6 on: by JSONP, and by iframe where that is asked for. ES3, and nothing that came later:
// no JSON, no Promise, no XMLHttpRequest, no addEventListener. The module's docs/protocol.md says what the server sends.
(function (window, document) {
    // How long things may take, in milliseconds: a poll at the server, an answer beyond that, a frame's first sign of life, a frame's
    // silence (silenceTimeout; more than two of the server's noops), a page's loading; and the least and the most before another try.
    var WAIT = 30000, ANSWER = 15000, FIRST = 5000, SILENCE = 75000, LOADING = 20000, LEAST = 500, MOST = 20000;
    var last = 0;

    function nothing() {}

    function remove(element) {
        if (element.parentNode) element.parentNode.removeChild(element);
    }

    function query(url, parameters) {
        var name, parts = [];
        for (name in parameters) {
            // Who sends an epoch, if an empty one, is told it.
            if (parameters[name] !== undefined && (parameters[name] !== '' || name === 'epoch')) parts.push(name + '=' + encodeURIComponent(parameters[name]));
        }
        return url + (url.indexOf('?') < 0 ? '?' : '&') + parts.join('&');
    }

    // Asks by a script. done(value) is called once; without a value when no answer came. Gives what gives up.
    function ask(url, parameters, patience, done) {
        var script = document.createElement('script'), name = 'icomet_cb_' + (last += 1), timer;
        function end(value, quiet) {
            if (!timer) return;
            clearTimeout(timer);
            timer = 0;
            script.onload = script.onerror = script.onreadystatechange = null;
            // Who still comes finds something to call.
            window[name] = nothing;
            // Not within the script's own run.
            setTimeout(function () { remove(script); }, 0);
            setTimeout(function () {
                try { delete window[name]; } catch (error) { window[name] = undefined; }
            }, MOST + WAIT);
            if (!quiet) done(value);
        }
        function without() {
            end();
        }
        timer = setTimeout(without, patience);
        window[name] = function (value) { end(value); };
        script.onload = script.onerror = without;
        // Old IE tells that a script is loaded before it is run.
        script.onreadystatechange = function () {
            if (/loaded|complete/.test(script.readyState)) setTimeout(without, 1000);
        };
        parameters.cb = name;
        parameters._ = new Date().getTime();
        script.charset = 'utf-8';
        script.src = query(url, parameters);
        (document.getElementsByTagName('head')[0] || document.documentElement).appendChild(script);
        return function () { end(undefined, true); };
    }

    function hidden(place) {
        var frame = place.createElement('iframe');
        frame.style.display = 'none';
        // Without a page, and without a warning on https.
        frame.src = 'javascript:false';
        (place.body || place.documentElement).appendChild(frame);
        return frame;
    }

    // Listens by a page that goes on. The frame stands in one of its own, so that its parent is this connection's alone.
    // heard(value), began(), end(). Gives what closes it.
    function listen(url, parameters, heard, began, end) {
        var outer = hidden(document), room = outer.contentWindow, inner, looking, alive;
        function close() {
            clearInterval(looking);
            remove(outer);
        }
        room.document.open();
        room.document.write('<html><body></body></html>');
        room.document.close();
        room.icomet_cb = function (value) {
            first();
            heard(value);
        };
        function first() {
            if (alive) return;
            alive = true;
            clearInterval(looking);
            began();
        }
        function look() {
            try {
                if (inner.contentWindow.document.title === 'icomet') first();
            } catch (error) {
                // A page of another site: no sign of life.
            }
        }
        inner = room.document.createElement('iframe');
        inner.onload = function () {
            look();
            close();
            end();
        };
        inner.src = query(url, parameters);
        room.document.body.appendChild(inner);
        looking = setInterval(look, 50);
        return close;
    }

    function iComet(config) {
        if (!(this instanceof iComet)) return new iComet(config);
        this.channel = config.channel;
        this.config = config;
        this.signUrl = config.signUrl || config.sign_url || '';
        this.subUrl = config.subUrl || config.sub_url || '/icomet/sub';
        this.pubUrl = config.pubUrl || config.pub_url || '';
        this.transport = config.transport === 'iframe' ? 'iframe' : 'jsonp';
        this.cname = this.channel;
        this.token = '';
        this.seq = config.seq || 0;
        // What the seq counts in; and what it will, when the channel has said from where on.
        this.epoch = this.coming = '';
        this.failures = 0;
        // The request, the frame or the timer that is under way: what gives it up.
        this.giveUp = null;
        this.state = 'closed';
        this.start();
    }

    iComet.prototype = {
        constructor: iComet,

        start: function () {
            var self = this, began = new Date().getTime();
            if (self.state !== 'closed') return;
            self.tell('connecting');
            // A page counts as loaded when its scripts and frames are.
            function begin() {
                var ready = document.readyState;
                if (!ready || ready === 'complete' || new Date().getTime() - began > LOADING) self.connect();
                else self.later(50, begin);
            }
            begin();
        },

        stop: function () {
            this.drop();
            this.tell('closed');
        },

        pub: function (content, done) {
            ask(this.pubUrl, { cname: this.cname, content: content }, ANSWER, done || nothing);
        },

        connect: function () {
            var self = this;
            if (!self.signUrl || self.token) return self.listen();
            self.giveUp = ask(self.signUrl, { cname: self.channel }, ANSWER, function (signed) {
                if (!signed || !signed.token) return self.again();
                self.cname = signed.cname || self.channel;
                self.token = signed.token;
                self.listen();
            });
        },

        listen: function () {
            if (this.transport === 'iframe') this.frame();
            else this.poll(0);
        },

        // What a question has beside its own.
        parameters: function (wait) {
            return { cname: this.cname, seq: this.seq, epoch: this.seq ? this.epoch : '', token: this.token, user: this.config.user, wait: wait };
        },

        poll: function (wait) {
            var self = this, asked = new Date().getTime();
            self.giveUp = ask(self.subUrl, self.parameters(wait / 1000), wait + ANSWER, function (value) {
                var brought;
                if (!value) return self.again();
                self.tell('open');
                brought = self.take(value);
                if (brought === null) return;
                // A worker that ends answers at once, and so may what stands in between.
                if (brought || !wait || new Date().getTime() - asked > 1000) self.poll(WAIT);
                else self.later(Math.random() * 1000, function () { self.poll(WAIT); });
            });
        },

        frame: function () {
            var self = this, silence = self.config.silenceTimeout || SILENCE, timer, close;
            function watch(patience, then) {
                clearTimeout(timer);
                timer = setTimeout(then, patience);
            }
            function again() {
                self.drop();
                self.again();
            }
            self.giveUp = function () {
                clearTimeout(timer);
                if (close) close();
            };
            watch(FIRST, function () {
                // Something holds it back.
                self.drop();
                self.transport = 'jsonp';
                self.listen();
            });
            close = listen(self.subUrl.replace(/\/[^\/?]*(\?|$)/, '/iframe$1'), self.parameters(), function (value) {
                watch(silence, again);
                if (self.take(value) === null) clearTimeout(timer);
            }, function () {
                self.tell('open');
                watch(silence, again);
            }, function () {
                clearTimeout(timer);
                self.again();
            });
        },

        // What the channel tells now is of the epoch that it has announced. Tells whether that is another one.
        another: function () {
            if (!this.coming) return false;
            this.epoch = this.coming;
            this.coming = '';
            return true;
        },

        // Takes a message, or a list of them. Tells whether it brought one; null when it is over and another try is under way.
        take: function (value) {
            var list = value instanceof Array || value.length !== undefined ? value : [value], brought = false, message, other, quiet, i;
            for (i = 0; i < list.length; i += 1) {
                message = list[i];
                switch (message.type) {
                case 'epoch':
                    if (this.seq && this.epoch && this.epoch !== message.content) {
                        this.coming = message.content;
                        break;
                    }
                    this.epoch = message.content;
                    this.coming = '';
                    this.seq = this.seq || message.seq;
                    break;
                case 'data':
                case 'broadcast':
                    if (!this.another() && this.seq && message.seq < this.seq) break;
                    this.seq = message.seq + 1;
                    this.failures = 0;
                    brought = true;
                    this.call('callback', message.content, message);
                    break;
                case 'next_seq':
                    // Lower than what was asked for: the channel has begun again.
                    if ((this.another() || message.seq < this.seq) && !(this.ended && message.seq === 1)) this.call('onLost', null, this.channel);
                    this.seq = message.seq;
                    this.failures = 0;
                    brought = true;
                    this.ended = false;
                    break;
                case 'lost':
                    other = this.another();
                    if (other || message.content === '' || message.seq > this.seq) {
                        if (message.content === '' && !other) this.epoch = '';
                        quiet = this.ended && message.seq === 1;
                        this.ended = false;
                        this.seq = message.seq;
                        brought = true;
                        if (!quiet) this.call('onLost', message.content === '' ? null : Number(message.content), this.channel);
                    }
                    break;
                case 'noop':
                    this.failures = 0;
                    break;
                case '401':
                    this.token = '';
                    return this.refused();
                case 'close':
                    if (message.content === 'stay_away') {
                        this.stop();
                        return null;
                    }
                    this.ended = true;
                    return this.refused();
                case '429':
                    return this.refused();
                }
                // A callback may have called stop.
                if (this.state === 'closed') return null;
            }
            return brought;
        },

        refused: function () {
            this.drop();
            this.again();
            return null;
        },

        again: function () {
            var self = this, limit;
            self.failures = Math.min(self.failures + 1, 10);
            limit = Math.min(MOST, LEAST * Math.pow(2, self.failures));
            self.tell('reconnecting');
            if (self.state === 'closed') return;
            self.later(LEAST + Math.random() * (limit - LEAST), function () { self.connect(); });
        },

        later: function (delay, then) {
            var timer = setTimeout(then, delay);
            this.giveUp = function () { clearTimeout(timer); };
        },

        drop: function () {
            var giveUp = this.giveUp;
            this.giveUp = null;
            if (giveUp) giveUp();
        },

        tell: function (state) {
            if (state === this.state || (state === 'reconnecting' && this.state === 'connecting')) return;
            this.state = state;
            this.call('onState', state, this.transport);
        },

        call: function (name, one, other) {
            try {
                if (this.config[name]) this.config[name](one, other);
            } catch (error) {
                // What the page did wrong is told as ever, and harms nobody.
                setTimeout(function () { throw error; }, 0);
            }
        }
    };

    window.iComet = iComet;
}(window, document));
