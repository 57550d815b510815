;; Rules for tandem:rules@0.1.0 by hand, without SDK or bindings, so that nothing here changes when those do. Each function
;; hands back what it was given, from wherever the canonical ABI has put it.
(module
  (import "tandem:rules/host@0.1.0" "log" (func $log (param i32 i32)))
  (memory (export "memory") 4)
  ;; Texts, and room for answers that is all zeros where nothing is written.
  (data (i32.const 4096) "frozen")
  (data (i32.const 4112) "1")
  (data (i32.const 4128) "shopify")
  (data (i32.const 4144) "orders/paid")
  (data (i32.const 4160) "omneo")
  (data (i32.const 4176) "read-profiles")
  (data (i32.const 4192) "/rules")
  (data (i32.const 4208) "query Q { shop { id } }")
  (data (i32.const 4240) "{}")
  (data (i32.const 4256) "looks odd")
  (data (i32.const 4272) "look again")
  (data (i32.const 4288) "2026-07")
  (global $free (mut i32) (i32.const 65536))
  ;; What `configure` was given: it is in the snapshot.
  (global $rules (mut i32) (i32.const 4240))
  (global $rules_len (mut i32) (i32.const 2))

  (func (export "cabi_realloc") (param i32 i32 i32) (param $len i32) (result i32)
    (local $new i32)
    (local.set $new (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.set $free (i32.add (local.get $new) (local.get $len)))
    (local.get $new))

  ;; A text or a list: where it is and how long.
  (func $put (param $at i32) (param $what i32) (param $len i32)
    (i32.store (local.get $at) (local.get $what))
    (i32.store offset=4 (local.get $at) (local.get $len)))

  (func $copy (param $at i32) (param $from i32)
    (i64.store align=4 (local.get $at) (i64.load align=4 (local.get $from))))

  (func (export "tandem:rules/rules@0.1.0#describe") (result i32)
    ;; manifest: name, version, listens, targets, settings
    (call $put (i32.const 1024) (i32.const 4096) (i32.const 6))
    (call $put (i32.const 1032) (i32.const 4112) (i32.const 1))
    (call $put (i32.const 1040) (i32.const 1100) (i32.const 1))
    (call $put (i32.const 1048) (i32.const 1120) (i32.const 2))
    (call $put (i32.const 1056) (i32.const 1180) (i32.const 1))
    ;; topic: source, name
    (call $put (i32.const 1100) (i32.const 4128) (i32.const 7))
    (call $put (i32.const 1108) (i32.const 4144) (i32.const 11))
    ;; target: name, api-version, scopes
    (call $put (i32.const 1120) (i32.const 4160) (i32.const 5))
    (call $put (i32.const 1136) (i32.const 1172) (i32.const 1))
    (call $put (i32.const 1144) (i32.const 4128) (i32.const 7))
    (call $put (i32.const 1152) (i32.const 4288) (i32.const 7))
    (call $put (i32.const 1172) (i32.const 4176) (i32.const 13))
    ;; setting: at, value, fixed
    (call $put (i32.const 1180) (i32.const 4192) (i32.const 6))
    (call $put (i32.const 1188) (global.get $rules) (global.get $rules_len))
    (i32.store8 (i32.const 1196) (i32.const 1))
    (i32.const 1024))

  (func (export "tandem:rules/rules@0.1.0#configure") (param $rules i32) (param $len i32) (result i32)
    (global.set $rules (local.get $rules))
    (global.set $rules_len (local.get $len))
    ;; ok: a warning
    (call $put (i32.const 1204) (i32.const 1220) (i32.const 1))
    (call $put (i32.const 1220) (i32.const 4192) (i32.const 6))
    (call $put (i32.const 1228) (i32.const 4256) (i32.const 9))
    (call $put (i32.const 1236) (i32.const 4272) (i32.const 10))
    (i32.const 1200))

  (func (export "tandem:rules/rules@0.1.0#schema") (result i32)
    (call $put (i32.const 1244) (i32.const 4240) (i32.const 2))
    (i32.const 1244))

  (func (export "tandem:rules/rules@0.1.0#pulls") (result i32)
    ;; pull: name, source, caution, gone
    (call $put (i32.const 1740) (i32.const 1752) (i32.const 1))
    (call $put (i32.const 1752) (i32.const 4096) (i32.const 6))
    (call $put (i32.const 1760) (i32.const 4160) (i32.const 5))
    (call $put (i32.const 1768) (i32.const 4256) (i32.const 9))
    (call $put (i32.const 1776) (i32.const 4272) (i32.const 10))
    (i32.const 1740))

  (func (export "tandem:rules/rules@0.1.0#ask-page")
    (param $pull i32) (param $pull_len i32) (param $begun i32) (param $begun_len i32)
    (param $has_since i32) (param $since i32) (param $since_len i32) (param $names i32) (param $bulk i32)
    (param $cursor i32) (param $cursor_len i32) (result i32)
    ;; err: the cursor
    (i32.store8 (i32.const 1788) (i32.const 1))
    (call $put (i32.const 1792) (local.get $cursor) (local.get $cursor_len))
    (i32.const 1788))

  (func (export "tandem:rules/rules@0.1.0#read-page")
    (param $pull i32) (param $pull_len i32) (param $begun i32) (param $begun_len i32)
    (param $has_since i32) (param $since i32) (param $since_len i32) (param $names i32) (param $bulk i32)
    (param $cursor i32) (param $cursor_len i32)
    (param $status i32) (param $headers i32) (param $headers_len i32) (param $body i32) (param $body_len i32) (result i32)
    ;; ok: items, next, total
    (call $put (i32.const 1808) (i32.const 1860) (i32.const 1))
    (i32.store8 (i32.const 1816) (local.get $has_since))
    (call $put (i32.const 1820) (local.get $since) (local.get $since_len))
    (i32.store8 (i32.const 1832) (i32.const 1))
    (i64.store (i32.const 1840) (i64.extend_i32_u (local.get $status)))
    ;; item: at, name, clues
    (call $put (i32.const 1860) (local.get $body) (local.get $body_len))
    (call $put (i32.const 1868) (local.get $begun) (local.get $begun_len))
    (call $put (i32.const 1876) (i32.const 1900) (i32.const 1))
    (call $put (i32.const 1900) (local.get $pull) (local.get $pull_len))
    (i32.const 1800))

  (func (export "tandem:rules/rules@0.1.0#key")
    (param $source i32) (param $source_len i32) (param $topic i32) (param $topic_len i32)
    (param $id i32) (param $id_len i32) (param $occurred i32) (param $occurred_len i32)
    (param $received i32) (param $received_len i32) (param $version i32) (param $version_len i32)
    (param $payload i32) (param $payload_len i32) (result i32)
    ;; ok: names, after
    (call $put (i32.const 1260) (i32.const 1276) (i32.const 2))
    (call $put (i32.const 1268) (i32.const 1292) (i32.const 1))
    (call $put (i32.const 1276) (local.get $topic) (local.get $topic_len))
    (call $put (i32.const 1284) (local.get $id) (local.get $id_len))
    (call $put (i32.const 1292) (local.get $payload) (local.get $payload_len))
    (i32.const 1256))

  ;; $in: event (56 bytes), memory, replies
  (func (export "tandem:rules/rules@0.1.0#step") (param $in i32) (result i32)
    (local $reply i32)
    (call $log (i32.load (local.get $in)) (i32.load offset=4 (local.get $in)))
    (if (result i32) (i32.eqz (i32.load offset=68 (local.get $in)))
      (then
        ;; next: send; calls, names learned and retired
        (call $put (i32.const 1316) (i32.const 1400) (i32.const 2))
        (call $put (i32.const 1324) (i32.const 1500) (i32.const 1))
        (call $put (i32.const 1332) (i32.const 1516) (i32.const 1))
        ;; call: target, request, effect; of REST: method, path, query, body
        (call $put (i32.const 1400) (i32.const 4160) (i32.const 5))
        (i32.store8 (i32.const 1412) (i32.const 3))
        (call $copy (i32.const 1416) (i32.add (local.get $in) (i32.const 24)))
        (call $put (i32.const 1424) (i32.const 1508) (i32.const 1))
        (i32.store8 (i32.const 1432) (i32.const 1))
        (call $copy (i32.const 1436) (i32.add (local.get $in) (i32.const 48)))
        (i32.store8 (i32.const 1444) (i32.const 2))
        ;; of GraphQL: document, variables
        (call $put (i32.const 1448) (i32.const 4128) (i32.const 7))
        (i32.store8 (i32.const 1456) (i32.const 1))
        (call $put (i32.const 1460) (i32.const 4208) (i32.const 23))
        (call $put (i32.const 1468) (i32.const 4240) (i32.const 2))
        ;; a name, and a pair of the query
        (call $copy (i32.const 1500) (i32.add (local.get $in) (i32.const 16)))
        (call $copy (i32.const 1508) (i32.add (local.get $in) (i32.const 32)))
        (call $copy (i32.const 1516) (i32.add (local.get $in) (i32.const 40)))
        (i32.const 1312))
      (else
        ;; the first list's replies, 24 bytes each: an answer, and one that is not known
        (local.set $reply (i32.load (i32.load offset=64 (local.get $in))))
        ;; next: end; outcome, reason, memory, names learned and retired
        (i32.store8 (i32.const 1600) (i32.const 1))
        (i32.store8 (i32.const 1604)
          (i32.eq (i32.load16_u offset=4 (local.get $reply)) (i32.const 404)))
        (call $copy (i32.const 1608) (i32.add (local.get $reply) (i32.const 16)))
        (i32.store8 (i32.const 1616) (i32.const 1))
        (call $copy (i32.const 1620) (i32.load offset=56 (local.get $in)))
        (call $put (i32.const 1628) (i32.const 1700) (i32.const 2))
        (call $put (i32.const 1636) (i32.const 1716) (i32.const 1))
        ;; header name and value, and why it is not known
        (call $copy (i32.const 1700) (i32.load offset=8 (local.get $reply)))
        (call $copy (i32.const 1708) (i32.add (i32.load offset=8 (local.get $reply)) (i32.const 8)))
        (call $copy (i32.const 1716) (i32.add (local.get $reply) (i32.const 28)))
        (i32.const 1600)))))
