"""Conversations: rendered by a model's chat template, cut, measured and judged turn by turn.

    {"messages": [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "你好！"}], "tools": [...]}

That JSON travels in the column `conversation`; `text` is its plain text. Of a preference pair, `messages` is what both
sides share, and what is rendered and judged is `messages` with `chosen`.

template    a chat template of a tokenizer_config.json or .jinja file, rendered as the library transformers does
spans       which characters of the rendered text are the assistant's, to be trained on
tokens      ids of the rendered text and a mask over them; the run's template and tokenizer
turns       the parsed conversations of a batch, once for all signals; plain parts of them
length      the signal chat_tokens, the edits cut_turns and render_chat
phrases     what assistants and users say, by lists: configs/phrases
signals     the chat rules as numbers: roles, replies, phrases, code fences, tool calls, repetition
"""
