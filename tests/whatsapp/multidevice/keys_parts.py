"""A device with rows in every table of whatsmeow's that is its own."""

import sqlite3
from contextlib import closing
from pathlib import Path

DEVICE = "33639980001:7@s.whatsapp.net"
OTHER = "33639980002:3@s.whatsapp.net"


def put_whole_device(path: Path, device: str = DEVICE) -> None:
    with closing(sqlite3.connect(path)) as file, file:
        file.execute(
            "INSERT INTO whatsmeow_device (jid, lid, registration_id, noise_key, identity_key, signed_pre_key,"
            " signed_pre_key_id, signed_pre_key_sig, adv_key, adv_details, adv_account_sig, adv_account_sig_key,"
            " adv_device_sig, push_name) VALUES (?, '99:7@lid', 5, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, 'Zoé, \"l''Orage\"')",
            (device, *(bytes([n]) * size for n, size in enumerate((32, 32, 32, 64, 32, 10, 64, 32, 64)))),
        )
        rows = {
            "whatsmeow_identity_keys (our_jid, their_id, identity)": ("b", b"i" * 32),
            "whatsmeow_pre_keys (jid, key_id, key, uploaded)": (1, b"p" * 32, True),
            "whatsmeow_sessions (our_jid, their_id, session)": ("b", b"s" * 99),
            "whatsmeow_sender_keys (our_jid, chat_id, sender_id, sender_key)": ("c", "b", b"k" * 20),
            "whatsmeow_app_state_sync_keys (jid, key_id, key_data, timestamp, fingerprint)": (b"1", b"d", 1, b"f"),
            "whatsmeow_app_state_version (jid, name, version, hash)": ("regular", 3, b"h" * 128),
            "whatsmeow_app_state_mutation_macs (jid, name, version, index_mac, value_mac)": (
                *("regular", 3),
                *(b"m" * 32, b"v" * 32),
            ),
            "whatsmeow_contacts (our_jid, their_jid, full_name)": ("b", "Bob"),
            "whatsmeow_chat_settings (our_jid, chat_jid, pinned)": ("c", True),
            "whatsmeow_message_secrets (our_jid, chat_jid, sender_jid, message_id, key)": ("c", "b", "M1", b"x"),
            "whatsmeow_privacy_tokens (our_jid, their_jid, token, timestamp)": ("b", b"t", 1),
            "whatsmeow_nct_salt (our_jid, salt)": (b"n",),
        }
        for target, values in rows.items():
            marks = ", ".join("?" * (len(values) + 1))
            file.execute(f"INSERT INTO {target} VALUES ({marks})", (device, *values))  # noqa: S608
