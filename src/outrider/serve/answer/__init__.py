"""Reading what a model answers as a chat: its thoughts, its text and its tool calls.

    tools, choice = tools_of(body["tools"]), choice_of(body["tool_choice"], …)     tools.py
    dialect = Dialect.of(template)                                                  once a model
    talk = dialect.conversation(messages, tools, choice)                            what to render
    text = prompts.render(talk.messages, talk.variables | …)
    grammar = dialect.grammar(wanted, tools, choice, text)                          wanted: format_of(…)
    constraint = compiler.compile(grammar) if grammar else None                     may take long: not in the event loop
    reader = dialect.reader(tools, choice, text)                                    one a sample
    reader.push(delta.text) … reader.finish()                                       parts
"""
